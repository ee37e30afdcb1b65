"""Where the eye is: the device boundary found in a picture."""
