//! Memory that a thread uses again and again, so that its pages stay mapped and in the cache.

use std::cell::Cell;

thread_local! {
    static FREE: Cell<Vec<Vec<f32>>> = const { Cell::new(Vec::new()) };
}

/// Calls `f` with `N` buffers of the given lengths and unspecified content.
pub(crate) fn with<const N: usize, R>(lengths: [usize; N], f: impl FnOnce([&mut [f32]; N]) -> R) -> R {
    let mut free = FREE.take();
    let mut buffers = lengths.map(|length| {
        let mut buffer = free.pop().unwrap_or_default();
        if buffer.len() < length {
            buffer.resize(length, 0.0);
        }
        buffer
    });
    // `f` may itself ask for buffers.
    FREE.set(free);
    let mut each = buffers.iter_mut().zip(lengths);
    let result = f(std::array::from_fn(|_| {
        let (buffer, length) = each.next().unwrap_or_else(|| unreachable!("as many buffers as lengths"));
        &mut buffer[..length]
    }));
    drop(each);
    let mut free = FREE.take();
    // Back in the order in which the next call of the same kind takes them.
    free.extend(buffers.into_iter().rev());
    FREE.set(free);
    result
}
