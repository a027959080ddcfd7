"""Training programs: a stage as a folder that runs on any accelerator, without TensorFlow.

`lowering` writes the compiled training step down as StableHLO, `images` packs the training images,
`program` writes the folder, `run.py` is the script in it, and `take_back` reads the state that it
left into the run directory. Only `run.py` and `philox.py` go to the other machine.
"""
