//! How the memory of tensors is kept.

/// Keeps freed memory for the next tensors: for verbs that make tensors of the same sizes again and again.
///
/// A step of training allocates and frees the same hundreds of megabytes again and again. By default glibc gives
/// large blocks back to the system at once, and for every step the system maps and clears all pages anew: a third
/// of the time of a step of MobileFaceNet.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep() {
    // SAFETY: mallopt only sets numbers of the allocator, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

/// Other allocators are left as they are.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep() {}
