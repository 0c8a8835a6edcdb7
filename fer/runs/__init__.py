"""The run folder: its files, their names and formats, and who may write them."""
