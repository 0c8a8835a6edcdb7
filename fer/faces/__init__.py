"""From a photo to the face that a network sees: decoded, found and framed alike for packing and prediction."""
