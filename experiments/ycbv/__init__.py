"""The model of the 21 objects of YCB-Video, on rendered and real frames."""
