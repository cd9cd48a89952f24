//! What is in a face set: counts, duplicates, mislabelled images, overlaps.
