"""Check untrusted files before anything else reads them.

    opening       opens only regular files that fit in memory
    archives      zip and .npz: members, names, kinds of numbers, declared sizes
    hdf5          HDF5: links, filters, external storage, declared sizes
    architecture  the classes and functions that a saved model names: an allow-list
    models        .keras and .h5, for the network or only for its weights
    images        the size that an image file declares

Each function raises `zoo.errors.FileError` for what it refuses. All code in `zoo` and `training`
that opens files uses this package; SECURITY.md says what it guarantees.
"""
