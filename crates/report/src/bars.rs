//! Counts as bars.

use plotters::prelude::*;

use crate::chart::{
    Axes, BLUE, DrawError, FONT, chart_with_ticks, draw, fitting, grid_step, heading, number, text_width,
};

/// How many there are of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BarChart {
    /// The title.
    pub title: String,
    /// What the names of the bars are.
    pub x_label: String,
    /// What is counted.
    pub y_label: String,
    /// A name and a count for each bar.
    pub bars: Vec<(String, u64)>,
}

/// A bar for each kind with its name below, as SVG.
///
/// # Errors
/// If the drawing library fails.
pub fn bar_chart(chart: &BarChart) -> Result<String, DrawError> {
    let BarChart { title, x_label, y_label, bars } = chart;
    draw("the bar chart", 620, |area| {
        let area = heading(area, title, &[])?;
        let highest = bars.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1) as f64;
        let step = grid_step(highest).max(1.0);
        let top = (highest / step).ceil() * step;
        let (x_label, y_label) = (fitting(x_label, FONT, 1100), fitting(y_label, FONT, 330));
        let axes = Axes {
            x: (0.0, bars.len().max(1) as f64),
            y: (0.0, top * 1.02),
            x_label: &x_label,
            y_label: &y_label,
            x_ticks: 0,
            y_ticks: 0,
            x_format: &|x| number(*x),
            y_format: &|y| number(*y),
        };
        // Names have the room of a bar; where they are too wide, every second one or fewer is written.
        let room = 1500 / bars.len().max(1) as i32;
        let widest = bars.iter().map(|(name, _)| text_width(name, SIZE)).max().unwrap_or(0);
        let every = (widest + SIZE).div_euclid(room.max(1)).max(0) as usize + 1;
        let names = bars.iter().enumerate().step_by(every);
        let x_ticks: Vec<_> = names
            // The first has no more room than its bar and the axis beside it.
            .map(|(i, (name, _))| {
                (i as f64 + 0.5, fitting(name, SIZE, (room * every as i32).min(room + 200)))
            })
            .collect();
        let steps = (top / step).round() as usize;
        let y_ticks: Vec<_> = (0..=steps).map(|i| (i as f64 * step, number(i as f64 * step))).collect();
        let mut panel = chart_with_ticks(&area, &axes, &x_ticks, &y_ticks)?;
        for (i, (_, count)) in bars.iter().enumerate() {
            let corners = [(i as f64 + 0.1, 0.0), (i as f64 + 0.9, *count as f64)];
            panel.draw_series([
                Rectangle::new(corners, BLUE.mix(0.3).filled()),
                Rectangle::new(corners, BLUE.stroke_width(3)),
            ])?;
        }
        Ok(())
    })
}

/// Size of the names, that of the labels of an axis at most.
const SIZE: i32 = FONT - 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::texts_of_well_formed;

    #[test]
    fn each_bar_has_its_name() {
        let bars = vec![("1".to_owned(), 3), ("2 to 3".to_owned(), 0), ("<4>".to_owned(), 12)];
        let [title, x_label, y_label] = ["Images", "images", "identities"].map(str::to_owned);
        let svg = bar_chart(&BarChart { title, x_label, y_label, bars }).unwrap();
        let texts = texts_of_well_formed(&svg);
        for name in ["Images", "images", "identities", "1", "2 to 3", "&lt;4&gt;"] {
            assert!(texts.iter().any(|text| text == name), "{name} in {texts:?}");
        }
        assert!(texts.iter().any(|text| text == "12" || text == "10"), "{texts:?}");
        assert!(bar_chart(&BarChart::default()).is_ok());
        let bars = (0..200).map(|i| (format!("number {i}"), i)).collect();
        let many = bar_chart(&BarChart { bars, ..Default::default() }).unwrap();
        assert!(texts_of_well_formed(&many).len() < 60);
    }
}
