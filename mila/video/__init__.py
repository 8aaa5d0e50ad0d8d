"""A trained model on a video, a folder of images or a camera: frames in, predictions, pictures and videos out."""
