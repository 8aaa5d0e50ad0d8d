"""A trained model on a video, as fast as the machine allows: `optimise(model).stream()`."""
