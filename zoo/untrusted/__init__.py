"""Untrusted files: checked before anything else reads them.

    opening       only regular files, of a size that memory can hold
    archives      zip and .npz: members, names, kinds of numbers, declared sizes
    hdf5          HDF5: links, filters, external storage, declared sizes
    architecture  the classes and functions that a saved model names: an allow-list
    models        .keras and .h5, for the network or for its weights alone
    images        the size that an image file declares

Each function raises `zoo.errors.FileError` for what it refuses. All code in `zoo` and `training`
that opens files uses this package; SECURITY.md says what it guarantees.
"""
