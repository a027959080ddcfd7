"""The tables of README and docs as Markdown, made of the catalog, the records and `results/`.

    markdown            a table of any rows
    models              models and their weight sets
    trained             what trained networks reach, and what each idea is worth
    latency             how fast networks are in each runtime
    training_speed      how long a step of training takes
    test_tiers          the tests, and on which commit they passed

`tools.update_tables` fills them in.
"""
