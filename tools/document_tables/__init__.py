"""Make the Markdown tables of README and docs from the catalog, the records and `results/`.

    markdown            a table of any rows
    models              models and their weight sets
    trained             accuracy of trained networks, and the gain of each idea
    latency             latency of networks in each runtime
    training_speed      duration of a training step
    test_tiers          the tests, and the commits on which they passed

`tools.update_tables` fills them in.
"""
