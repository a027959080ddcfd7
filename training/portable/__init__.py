"""Training programs: a stage as a folder that runs on any accelerator, without TensorFlow.

`lowering` converts the compiled training step to StableHLO, `images` packs the training images,
`program` writes the folder, `run.py` is the script in it, and `take_back` loads the trained state
into the run directory. The folder contains the scripts that `program.SCRIPTS` lists.
"""
