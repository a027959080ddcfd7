"""Trained weights as files: what is known of each set, where it is, how it is fetched.

    records   what is known of each set, read from `records.json`
    cache     the folder of this machine's sets, and the hashes pinned there
    download  one file from an address, whole and checked; http fetches it, addresses shows it
    find      the order in which a set is looked for

Nothing here imports TensorFlow; `zoo.weights` puts what is found here into a model.
"""
