//! Counts as bars.

use crate::{
    chart::{Axis, Chart, LINEAR, Layer, Panel, number, outward, round_step},
    svg::{BLUE, Look, Picture},
};

/// A bar for each name and count, with its name below; where names are too wide, every second one or fewer is written.
pub fn bar_chart(title: &str, x_label: &str, y_label: &str, bars: &[(String, u64)]) -> Picture {
    let highest = bars.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1) as f64;
    let highest = outward((0.0, highest), round_step(highest, 8).max(1.0)).1;
    let bar = |(i, (_, count)): (usize, &(String, u64))| {
        let (from, to, count) = (i as f64 + 0.1, i as f64 + 0.9, *count as f64);
        Layer::new(Look::Area(BLUE), [(from, 0.0), (from, count), (to, count), (to, 0.0)])
    };
    let names = bars.iter().enumerate().map(|(i, (name, _))| (i as f64 + 0.5, name.clone()));
    let axes = [
        Axis::new(x_label, (0.0, bars.len().max(1) as f64), LINEAR, names),
        Axis::linear(y_label, (0.0, highest), 8, number),
    ];
    Chart::new(title, Panel::new(axes, Some(400.0), bars.iter().enumerate().map(bar))).picture()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts_of_well_formed;

    #[test]
    fn each_bar_has_its_name() {
        let bars = vec![("1".to_owned(), 3), ("2 to 3".to_owned(), 0), ("<4>".to_owned(), 12)];
        let svg = bar_chart("Images", "images", "identities", &bars).to_svg();
        let texts = texts_of_well_formed(&svg);
        for name in ["Images", "images", "identities", "1", "2 to 3", "&lt;4&gt;"] {
            assert!(texts.iter().any(|text| text == name), "{name} in {texts:?}");
        }
        assert!(texts.iter().any(|text| text == "12" || text == "10"), "{texts:?}");
        texts_of_well_formed(&bar_chart("", "", "", &[]).to_svg());
        let bars: Vec<_> = (0..200).map(|i| (format!("number {i}"), i)).collect();
        let many = bar_chart("", "", "", &bars).to_svg();
        assert!(texts_of_well_formed(&many).len() < 60);
    }
}
