//! Faces found on photographs and brought into the position that networks expect.
