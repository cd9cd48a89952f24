//! What a chart is: a title, a legend, and panels with two axes and layers. Every kind of chart fills this in.

pub(crate) use facegrad_results::numbers::number;

use crate::svg::{AXIS, Canvas, GRID, Look, Picture, Point, WIDTH, fitting, text_width, wrapped};

/// Size of text.
const FONT: f64 = 34.0;
/// That of the labels of ticks, as a share of the others.
const SMALL: f64 = 0.94;
const MARGIN: f64 = 28.0;
/// The left edge of title, legend and notes, and the room they have.
const LEFT: f64 = MARGIN + 12.0;
const ROOM: f64 = WIDTH - MARGIN - LEFT;

/// A part of a picture with a title of its own, and a legend of the layers that have names.
#[derive(Default)]
pub(crate) struct Chart {
    pub title: String,
    pub panels: Vec<Panel>,
    /// So many panels stand side by side, one at least.
    pub columns: usize,
    /// What to know to read it.
    pub notes: String,
}

/// Axes and what is drawn between them.
pub(crate) struct Panel {
    /// May be empty.
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    /// Between the ends of the axes; without it, as high as it is wide.
    pub height: Option<f64>,
    /// Whether text is small, as where panels are.
    pub is_small: bool,
    /// What is drawn: the first lies above the others.
    pub layers: Vec<Layer>,
    /// What stands right of the panel, at places of its vertical axis.
    pub beside: Vec<Tick>,
}

/// Points of a panel that look alike. What leaves the panel runs along its edge; what is not finite is left out.
pub(crate) struct Layer {
    look: Look,
    points: Vec<Point>,
    /// For the legend, which has a name and a look once; may be empty.
    name: String,
    /// Shown under the pointer; may be empty.
    title: String,
}

impl Layer {
    pub fn new(look: Look, points: impl IntoIterator<Item = Point>) -> Self {
        let points = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        Self { look, points, name: String::new(), title: String::new() }
    }

    /// An entry of the legend.
    pub fn entry(look: Look, name: impl Into<String>) -> Self {
        Self::new(look, []).named(name)
    }

    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    pub fn titled(self, title: impl Into<String>) -> Self {
        Self { title: title.into(), ..self }
    }
}

/// A place on an axis with a grid line, and its label.
pub(crate) type Tick = (f64, String);

/// An axis of a panel.
pub(crate) struct Axis {
    /// What it shows; may be empty.
    pub label: String,
    /// Its ends.
    pub range: (f64, f64),
    /// Equal steps of this are equally far on paper.
    pub scale: fn(f64) -> f64,
    pub ticks: Vec<Tick>,
}

/// The scale of most axes.
pub(crate) const LINEAR: fn(f64) -> f64 = |value| value;

impl Axis {
    pub fn new(
        label: &str,
        range: (f64, f64),
        scale: fn(f64) -> f64,
        ticks: impl IntoIterator<Item = Tick>,
    ) -> Self {
        Self { label: label.into(), range, scale, ticks: ticks.into_iter().collect() }
    }

    /// An axis with at most so many steps between its grid lines, at round numbers.
    pub fn linear(label: &str, range: (f64, f64), steps: usize, write: fn(f64) -> String) -> Self {
        let ticks = multiples(range, round_step(range.1 - range.0, steps));
        Self::new(label, range, LINEAR, ticks.map(|place| (place, write(place))))
    }

    /// Where a value lies between the ends, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let [value, low, high] = [value, self.range.0, self.range.1].map(self.scale);
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, so that there are at most so many steps in a range.
pub(crate) fn round_step(range: f64, steps: usize) -> f64 {
    let power = 10_f64.powf((range / steps as f64).log10().floor());
    let fits = |step: &f64| range / step <= steps as f64 + 1e-9;
    [1.0, 2.0, 5.0].map(|factor| factor * power).into_iter().find(fits).unwrap_or(10.0 * power)
}

/// The multiples of `step` in a range, its ends included.
pub(crate) fn multiples((low, high): (f64, f64), step: f64) -> impl Iterator<Item = f64> {
    let (first, last) = ((low / step - 1e-6).ceil() as i64, (high / step + 1e-6).floor() as i64);
    (first..=last).map(move |i| i as f64 * step)
}

/// A range that ends at multiples of `step`.
pub(crate) fn outward((low, high): (f64, f64), step: f64) -> (f64, f64) {
    ((low / step + 1e-6).floor() * step, (high / step - 1e-6).ceil() * step)
}

/// Charts below each other as one picture, called after the first.
pub(crate) fn picture(charts: &[Chart]) -> Picture {
    let mut canvas = Canvas::default();
    let height = charts.iter().fold(0.0, |top, chart| chart.draw(&mut canvas, top));
    canvas.finish(height, charts.first().map(|chart| chart.title.clone()).unwrap_or_default())
}

impl Chart {
    /// A chart of one panel.
    pub fn new(title: &str, panel: Panel) -> Self {
        Self { title: title.into(), panels: vec![panel], ..Self::default() }
    }

    /// The chart by itself.
    pub fn picture(self) -> Picture {
        picture(&[self])
    }

    /// Draws below `top` and gives where it ends.
    fn draw(&self, canvas: &mut Canvas, top: f64) -> f64 {
        const NOTES: f64 = 26.0;
        let mut y = self.heading(canvas, top);
        let columns = self.columns.max(1);
        let width = (WIDTH - 2.0 * MARGIN) / columns as f64;
        // The same for all, so that panels below each other line up.
        let left = self.panels.iter().map(|panel| panel.left(width)).fold(0.0, f64::max);
        for row in self.panels.chunks(columns) {
            let cells = row.iter().enumerate().map(|(i, panel)| (MARGIN + i as f64 * width, panel));
            y = cells.fold(y, |bottom, (x, panel)| panel.draw(canvas, (x, y), width, left).max(bottom));
        }
        for line in wrapped(&self.notes, NOTES, ROOM) {
            canvas.text(&line, (LEFT, y + NOTES / 2.0), NOTES, "start");
            y += NOTES + 10.0;
        }
        y + 10.0
    }

    /// Draws title and legend and gives where they end.
    fn heading(&self, canvas: &mut Canvas, top: f64) -> f64 {
        const SIZE: f64 = 31.0;
        // Bold letters are up to an eighth wider, such as those of DejaVu.
        let title = fitting(&self.title, FONT + 6.0, ROOM * 8.0 / 9.0);
        canvas.heading(&title, (LEFT, top + MARGIN + 17.0), FONT + 6.0, "start");
        let mut legend: Vec<(&Look, &str)> = Vec::new();
        for layer in self.panels.iter().flat_map(|panel| &panel.layers).filter(|layer| !layer.name.is_empty())
        {
            if !legend.contains(&(&layer.look, &layer.name)) {
                legend.push((&layer.look, &layer.name));
            }
        }
        let (mut x, mut y) = (LEFT, top + MARGIN + 85.0);
        for (look, name) in &legend {
            let name = fitting(name, SIZE, ROOM - 84.0);
            let width = 84.0 + text_width(&name, SIZE) + 24.0;
            if x > LEFT && x + width > WIDTH {
                (x, y) = (LEFT, y + FONT + 14.0);
            }
            let (right, low, high) = (x + 66.0, y - 13.0, y + 13.0);
            match look {
                Look::Area(_) => canvas.draw(look, &[(x, low), (x, high), (right, high), (right, low)]),
                Look::Markers { .. } => canvas.draw(look, &[(x + 33.0, y)]),
                Look::Line { .. } | Look::Text(_) => canvas.draw(look, &[(x, y), (right, y)]),
            }
            canvas.text(&name, (x + 82.0, y), SIZE, "start");
            x += width;
        }
        if legend.is_empty() { y - 27.0 } else { y + 27.0 }
    }
}

impl Panel {
    pub fn new([x, y]: [Axis; 2], height: Option<f64>, layers: impl IntoIterator<Item = Layer>) -> Self {
        let layers = layers.into_iter().collect();
        Self { title: String::new(), x, y, height, is_small: false, layers, beside: Vec::new() }
    }

    /// The size of text.
    fn font(&self) -> f64 {
        if self.is_small { FONT * 0.7 } else { FONT }
    }

    /// The labels of the vertical axis, with at most two fifths of the width of the panel.
    fn names(&self, width: f64) -> impl Iterator<Item = (f64, String)> {
        let size = self.font() * SMALL;
        self.y.ticks.iter().map(move |(place, text)| (*place, fitting(text, size, width * 0.4)))
    }

    /// The room left of the panel.
    fn left(&self, width: f64) -> f64 {
        let font = self.font();
        let widest = self.names(width).map(|(_, text)| text_width(&text, font * SMALL)).fold(0.0, f64::max);
        let label = if self.y.label.is_empty() { 0.0 } else { font * 1.3 };
        label + if widest > 0.0 { widest + font * 0.4 } else { 0.0 }
    }

    /// Draws into a column of the picture, and gives where the panel ends.
    fn draw(&self, canvas: &mut Canvas, (x, y): Point, width: f64, left: f64) -> f64 {
        let font = self.font();
        let small = font * SMALL;
        let beside = self.beside.iter().map(|(_, text)| text_width(text, small)).fold(0.0, f64::max);
        let (left, right) = (x + left, x + width - 0.9 * font - beside);
        let title = if self.title.is_empty() { 0.0 } else { font * 1.4 };
        let top = y + 14.0 + title;
        let height = self.height.unwrap_or(right - left);
        let bottom = top + height;
        let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
        let across = |value: f64| left + self.x.place(value) * (right - left);
        let up = |value: f64| bottom - self.y.place(value) * height;

        if !self.title.is_empty() {
            // Smaller down to what can be read; bold letters are wider.
            let size = (font * width / text_width(&self.title, font * 1.13)).clamp(18.0, font * 1.15);
            let text = fitting(&self.title, size * 1.13, width);
            canvas.heading(&text, (middle.0, top - title / 2.0 - 4.0), size, "middle");
        }
        let line = |colour| Look::Line { colour, width: 2.0, opacity: 1.0, dashes: "" };
        for (value, _) in &self.x.ticks {
            canvas.draw(&line(GRID), &[(across(*value), top), (across(*value), bottom)]);
        }
        for (value, text) in self.names(width) {
            canvas.draw(&line(GRID), &[(left, up(value)), (right, up(value))]);
            canvas.text(&text, (left - font * 0.35, up(value)), small, "end");
        }
        for (value, text) in &self.beside {
            canvas.text(text, (x + width, up(*value)), small, "end");
        }
        // Low enough that they keep clear of the label at the end of the other axis.
        let mut below = bottom + font * 0.5;
        if self.x.ticks.iter().any(|(_, text)| !text.is_empty()) {
            self.label_ticks(
                canvas,
                |value| (across(value), below + font * 0.47),
                (x - MARGIN, x + width + MARGIN),
            );
            below += font;
        }
        if !self.x.label.is_empty() {
            // Around the middle of the panel.
            let text = fitting(&self.x.label, font, 2.0 * (x + width - middle.0));
            canvas.text(&text, (middle.0, below + font * 0.9), font, "middle");
            below += font * 1.4;
        }
        canvas.upwards(&fitting(&self.y.label, font, height), (x + font * 0.5, middle.1), font);
        canvas.draw(&line(AXIS), &[(left, top), (left, bottom), (right, bottom)]);

        for layer in self.layers.iter().rev() {
            let places: Vec<Point> = layer.points.iter().map(|(x, y)| (across(*x), up(*y))).collect();
            match layer.title.as_str() {
                title if !title.is_empty() && !places.is_empty() => {
                    canvas.titled(title, |canvas| canvas.draw(&layer.look, &places));
                }
                _ => canvas.draw(&layer.look, &places),
            }
        }
        below + font * 0.4
    }

    /// Writes the labels below the panel, from the right; one that would lie on another is left out.
    fn label_ticks(&self, canvas: &mut Canvas, at: impl Fn(f64) -> Point, (from, to): (f64, f64)) {
        let size = self.font() * SMALL;
        let mut free = to;
        for (value, text) in self.x.ticks.iter().rev().filter(|(_, text)| !text.is_empty()) {
            let text = fitting(text, size, (to - from) / 4.0);
            let half = text_width(&text, size) / 2.0;
            let (x, y) = at(*value);
            // The last may move a little, so that it stays in the picture.
            let x = x.clamp(from + half, to - half);
            if x + half <= free {
                canvas.text(&text, (x, y), size, "middle");
                free = x - half - size * 0.4;
            }
        }
    }
}

/// The smallest and largest of the finite ones of some numbers; 0 and 1 if there are none, and never the same.
pub(crate) fn extent(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = numbers.filter(|number| number.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
    if low > high {
        (0.0, 1.0)
    } else if low == high {
        let room = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
        (low - room, high + room)
    } else {
        (low, high)
    }
}

/// A number with this many significant digits, and all those before the point.
pub(crate) fn rounded(value: f64, digits: i32) -> String {
    let power = 10_f64.powi((digits - 1 - value.abs().max(1e-3).log10().floor() as i32).max(0));
    number((value * power).round() / power)
}

/// A share as a percentage for an axis.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", number((share * 1e8).round() / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{svg::BLUE, testing::texts_of_well_formed};

    #[test]
    fn numbers_as_people_write_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (-5.6e-17, "0"),
            (0.25, "0.25"),
            (-1.5, "−1.5"),
            (1000.0, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-12_000.5, "−12,000.5"),
            (1e-5, "1.0e-5"),
            (100.0, "100"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(
            [0.885, 1.0, 0.001, 0.000_1, 0.3].map(percent),
            ["88.5 %", "100 %", "0.1 %", "0.01 %", "30 %"]
        );
        assert_eq!(
            [217.04, 80.12, 1234.5, 0.012_34].map(|value| rounded(value, 3)),
            ["217", "80.1", "1,235", "0.0123"]
        );
    }

    #[test]
    fn extents_have_room() {
        assert_eq!(extent([3.0, 1.0].into_iter()), (1.0, 3.0));
        assert_eq!(extent([0.0].into_iter()), (-1.0, 1.0));
        assert_eq!(extent([].into_iter()), (0.0, 1.0));
    }

    #[test]
    fn grid_lines_are_at_round_numbers() {
        for (range, step) in [(0.3, 0.05), (0.04, 0.005), (0.1, 0.02), (1.0, 0.2), (0.8, 0.1)] {
            assert!((round_step(range, 8) - step).abs() < 1e-9, "{range}: {}", round_step(range, 8));
        }
        let places: Vec<String> = multiples((-0.1, 0.3), 0.1).map(number).collect();
        assert_eq!(places, ["−0.1", "0", "0.1", "0.2", "0.3"]);
        assert_eq!(outward((0.3, 1.2), 0.5), (0.0, 1.5));
        assert_eq!(outward((0.5, 1.0), 0.5), (0.5, 1.0));
    }

    #[test]
    fn any_text_can_be_a_title() {
        let name = "a < b & \"c\" > 'd' \u{0} \n é";
        let layers = vec![Layer::entry(Look::dashed(BLUE), name)];
        let svg = Chart::new(name, Panel::new(axes([]), Some(100.0), layers)).picture().to_svg();
        let texts = texts_of_well_formed(&svg);
        assert_eq!(texts.len(), 2);
        for text in texts {
            assert!(
                text.starts_with("a &lt; b &amp;") && text.ends_with("é") && !text.contains('\0'),
                "{text}"
            );
        }
    }

    /// Axes from 0 to 1, with ticks on the first.
    fn axes(ticks: impl IntoIterator<Item = Tick>) -> [Axis; 2] {
        [Axis::new("", (0.0, 1.0), LINEAR, ticks), Axis::new("", (0.0, 1.0), LINEAR, [])]
    }

    /// The texts of a panel with these labels below it.
    fn labels(texts: &[&str]) -> Vec<String> {
        let last = texts.len() as f64 - 1.0;
        let ticks = texts.iter().enumerate().map(|(i, text)| (i as f64 / last, (*text).to_owned()));
        let panel = Panel::new(axes(ticks), Some(100.0), []);
        texts_of_well_formed(&Chart::new("", panel).picture().to_svg())
    }

    #[test]
    fn labels_do_not_lie_on_each_other_and_stay_in_the_picture() {
        assert_eq!(labels(&["a", "b", "c"]), ["c", "b", "a"]);
        let (count, wide) = (labels(&["0123456789"; 30]).len(), labels(&["W".repeat(100).as_str(); 2]));
        assert!((3..6).contains(&count), "{count}");
        assert!(wide.iter().all(|text| text.ends_with('…') && text.len() < 15), "{wide:?}");
    }

    #[test]
    fn what_leaves_a_panel_runs_along_its_edge_and_what_is_no_number_is_left_out() {
        let points = [(-7.0, 0.0), (f64::NAN, 0.5), (0.5, f64::INFINITY), (1.0, 7.0)];
        let none = Layer::new(Look::Text("none".into()), [(f64::NAN, 0.0)]);
        let panel = Panel::new(axes([]), Some(100.0), [Layer::new(Look::line(BLUE), points), none]);
        let svg = Chart::new("", panel).picture().to_svg();
        let line = svg.split("<polyline").find(|line| line.contains(BLUE.0)).unwrap();
        let points = line.split('"').nth(1).unwrap();
        let places: Vec<&str> = points.split([' ', ',']).collect();
        let [x, y, _, top] = places[..] else { panic!("{points}") };
        assert_eq!((x, y.parse::<f64>().unwrap() - top.parse::<f64>().unwrap()), ("28", 100.0), "{points}");
        assert!(!svg.contains("none<"));
    }
}
