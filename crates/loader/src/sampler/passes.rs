//! An endless sequence of permutations, read in windows without repetition.

use facegrad_random::Stream;

/// Passes over the items `0..len`, each pass a permutation, one after the other without end, cut into windows of
/// `width` items. Windows and passes do not end together in general, so a window may begin in one pass and end
/// in a later one.
///
/// No item is in a window twice; where `width` is more than `len`, how often two items are in it differs by one
/// at most. For that the first items of a pass, those of a window that is open when it begins, avoid the items
/// which that window has already. Apart from this a pass is in the order that a stream of its own shuffles it
/// into.
pub(super) struct Passes {
    len: usize,
    width: usize,
    /// The number of the pass that was computed last, and its order; empty before the first.
    pass: u64,
    order: Vec<u32>,
    /// What the window that is open at the end of that pass took from the pass in which it began.
    open: Vec<u32>,
}

impl Passes {
    /// Windows of `width` items over `0..len`, both at least 1; an item fits into a `u32`.
    pub(super) fn new(len: usize, width: usize) -> Self {
        Self { len, width, pass: 0, order: Vec::new(), open: Vec::new() }
    }

    /// The items of window `number`, each with the pass it belongs to; `stream` names the stream of a pass.
    pub(super) fn window(&mut self, number: u64, stream: impl Fn(u64) -> Stream) -> Vec<(usize, u64)> {
        let len = self.len as u64;
        let begin = number * self.width as u64;
        let end = begin + self.width as u64;
        let mut items = Vec::with_capacity(self.width);
        for pass in begin / len..=(end - 1) / len {
            self.go_to(pass, &stream);
            let first = begin.max(pass * len) - pass * len;
            let last = end.min((pass + 1) * len) - pass * len;
            items.extend(self.order[first as usize..last as usize].iter().map(|&item| (item as usize, pass)));
        }
        items
    }

    /// Computes the order of `pass`, from that of the pass before where this is known.
    fn go_to(&mut self, pass: u64, stream: &impl Fn(u64) -> Stream) {
        // A pass depends on the one before by the items that they share a window with. In passes of two windows
        // or more these are beyond the items that the pass before it had to exchange, so that nothing depends on
        // any earlier one. In shorter passes the dependence goes back to where a window began with a pass, which
        // it does every `width / gcd` passes.
        let aligned = pass - pass % (self.width / gcd(self.len, self.width)) as u64;
        let from = if self.len >= 2 * self.width { aligned.max(pass.saturating_sub(1)) } else { aligned };
        if self.order.is_empty() || !(from..=pass).contains(&self.pass) {
            self.open.clear();
            self.compute(from, stream);
        }
        while self.pass < pass {
            self.compute(self.pass + 1, stream);
        }
    }

    /// Computes the order of `pass`, with `open` as the pass before has left it.
    fn compute(&mut self, pass: u64, stream: &impl Fn(u64) -> Stream) {
        let (len, width) = (self.len as u64, self.width as u64);
        self.pass = pass;
        self.order.clear();
        self.order.extend((0..self.len).map(|item| item as u32));
        stream(pass).shuffle(&mut self.order);
        let filled = pass * len % width;
        // A window that takes the whole pass does not mind its order.
        if filled > 0 && width - filled < len {
            self.avoid_open((width - filled) as usize);
        }
        let open = (pass + 1) * len % width;
        // Otherwise the window that is open at the end began in an earlier pass, and `open` stays.
        if open <= len {
            self.open.clear();
            self.open.extend_from_slice(&self.order[(len - open) as usize..]);
        }
    }

    /// Moves the items of `open` behind the first `head` items of the order, as far as there are others.
    fn avoid_open(&mut self, head: usize) {
        let mut is_open = vec![false; self.len];
        self.open.iter().for_each(|&item| is_open[item as usize] = true);
        let (mut order, mut delayed) = (Vec::with_capacity(self.len), Vec::new());
        let mut items = self.order.drain(..);
        while order.len() < head
            && let Some(item) = items.next()
        {
            if is_open[item as usize] { delayed.push(item) } else { order.push(item) }
        }
        order.append(&mut delayed);
        order.extend(items);
        self.order = order;
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use facegrad_random::Purpose;

    use super::*;

    fn stream(pass: u64) -> Stream {
        Stream::new(3, Purpose::Order, 0, pass)
    }

    /// Lengths and widths of every kind: one divides the other or not, windows are shorter than a pass, than
    /// two, or longer.
    const SHAPES: [(usize, usize); 14] = [
        (1, 1),
        (1, 3),
        (2, 4),
        (3, 4),
        (3, 7),
        (4, 4),
        (5, 4),
        (6, 4),
        (7, 4),
        (8, 4),
        (9, 4),
        (10, 7),
        (13, 12),
        (50, 8),
    ];

    #[test]
    fn passes_are_permutations_and_windows_are_as_even_as_can_be() {
        for (len, width) in SHAPES {
            let mut passes = Passes::new(len, width);
            let windows: Vec<_> = (0..20 * len as u64).map(|n| passes.window(n, stream)).collect();
            for window in &windows {
                let mut counts = vec![0; len];
                window.iter().for_each(|(item, _)| counts[*item] += 1);
                let (least, most) = (width / len, width.div_ceil(len));
                assert!(counts.iter().all(|n| (least..=most).contains(n)), "{len}, {width}: {window:?}");
            }
            let all: Vec<_> = windows.concat();
            let mut orders = Vec::new();
            for (pass, items) in all.chunks(len).enumerate() {
                assert!(items.iter().all(|(_, of)| *of == pass as u64));
                let mut order: Vec<_> = items.iter().map(|(item, _)| *item).collect();
                orders.push(order.clone());
                order.sort_unstable();
                assert_eq!(order, (0..len).collect::<Vec<_>>(), "{len}, {width}");
            }
            orders.dedup();
            assert!(len < 5 || orders.len() > 18 * width, "{len}, {width}");
        }
    }

    #[test]
    fn a_window_is_the_same_whatever_was_asked_before() {
        for (len, width) in SHAPES {
            let mut in_order = Passes::new(len, width);
            let windows: Vec<_> = (0..100).map(|n| in_order.window(n, stream)).collect();
            let mut jumping = Passes::new(len, width);
            for number in [99, 3, 4, 40, 41, 5, 98, 0, 1, 2, 50, 52] {
                let fresh = Passes::new(len, width).window(number, stream);
                assert_eq!(fresh, windows[number as usize], "{len}, {width}, {number}");
                assert_eq!(jumping.window(number, stream), fresh, "{len}, {width}, {number}");
            }
        }
    }

    /// A first item is as likely to be any of them, in passes that follow their own shuffle and in those that
    /// had to exchange items.
    #[test]
    fn every_item_is_as_likely_anywhere() {
        let (len, width, passes) = (6, 4, 12_000);
        let mut sequence = Passes::new(len, width);
        let mut counts = vec![[0usize; 6]; len];
        for number in 0..(passes * len / width) as u64 {
            for (slot, (item, _)) in sequence.window(number, stream).into_iter().enumerate() {
                counts[item][(number as usize * width + slot) % len] += 1;
            }
        }
        let expected = passes as f64 / len as f64;
        for count in counts.into_iter().flatten() {
            assert!((count as f64 - expected).abs() < 5.0 * expected.sqrt(), "{count} instead of {expected}");
        }
    }

    #[test]
    fn a_far_window_is_computed_without_those_before() {
        let number = 1 << 40;
        let mut passes = Passes::new(1001, 64);
        let window = passes.window(number, stream);
        assert_eq!(passes.window(number + 1, stream).len(), 64);
        assert_eq!(Passes::new(1001, 64).window(number, stream), window);
    }
}
