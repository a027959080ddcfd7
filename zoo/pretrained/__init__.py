"""Trained weights as files: records, locations and downloads.

    records   the facts about each set, read from `records.json`
    cache     the folder of this machine's sets, and their stored hashes
    download  downloads one file completely and checks it; uses http and addresses
    find      the search order for a set

Nothing here imports TensorFlow; `zoo.weights` loads the files into models.
"""
