//! Lines, areas, markers and text as SVG, at places that need not be whole.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

/// A place, from the left and from the top.
pub(crate) type Point = (f64, f64);

/// The width of every picture, in units of half a pixel of the intended size.
pub(crate) const WIDTH: f64 = 1200.0;

/// A colour on white, and what stands for it on a dark page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colour(pub &'static str, pub &'static str);

const BACKGROUND: Colour = Colour("#FFFFFF", "#1B1F24");
pub(crate) const TEXT: Colour = Colour("#24292F", "#E6E8EB");
pub(crate) const AXIS: Colour = Colour("#8C959F", "#7D8590");
pub(crate) const GRID: Colour = Colour("#E4E7EB", "#30363D");
pub(crate) const NEUTRAL: Colour = Colour("#6A737D", "#A3ADB8");
pub(crate) const BLUE: Colour = Colour("#1F6FB2", "#6CB0EE");
pub(crate) const ORANGE: Colour = Colour("#C4561A", "#F0935A");
pub(crate) const GREEN: Colour = Colour("#2A7F4F", "#62C08A");
pub(crate) const PURPLE: Colour = Colour("#7B4FB5", "#B794F0");
pub(crate) const PINK: Colour = Colour("#B83B7D", "#F07FB8");

/// All colours of pictures.
pub(crate) const COLOURS: [Colour; 10] =
    [BACKGROUND, TEXT, AXIS, GRID, NEUTRAL, BLUE, ORANGE, GREEN, PURPLE, PINK];

/// A finished picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Picture {
    height: f64,
    title: String,
    body: String,
}

impl Picture {
    /// The picture as a file by itself, on white, so that it reads on any page; its title is its name for those who cannot
    /// see it.
    pub fn to_svg(&self) -> String {
        let name_space = Some("http://www.w3.org/2000/svg");
        printable(self.element(name_space, &self.title).into_string()) + "\n"
    }

    /// The picture within a page, which needs no name space, with a name for those who cannot see it.
    pub(crate) fn to_html(&self, description: &str) -> Markup {
        self.element(None, description)
    }

    fn element(&self, name_space: Option<&str>, name: &str) -> Markup {
        let (width, height) = (WIDTH, self.height.ceil());
        html! {
            svg width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } xmlns=[name_space]
                role="img" aria-label=(name) {
                rect width=(width) height=(height) fill=(BACKGROUND.0) {}
                "\n" (PreEscaped(&self.body))
            }
        }
    }
}

/// Text without the control characters that neither XML nor HTML allow.
pub(crate) fn printable(text: String) -> String {
    text.replace(|c: char| c.is_control() && !matches!(c, '\n' | '\t'), "\u{FFFD}")
}

/// How something looks, where it is drawn as in the legend.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Look {
    /// A line through all points; the dashes are those of SVG, none for a solid line.
    Line { colour: Colour, width: f64, opacity: f64, dashes: &'static str },
    /// The area between the points, with a line around it.
    Area(Colour),
    /// A marker at each point; `fill` is the opacity of its inside.
    Markers { colour: Colour, shape: usize, radius: f64, fill: f64 },
    /// Text, left of each point and below it.
    Text(String),
}

impl Look {
    pub fn line(colour: Colour) -> Self {
        Self::Line { colour, width: 5.0, opacity: 1.0, dashes: "" }
    }

    /// A line for what is less certain, or behind another.
    pub fn pale(colour: Colour) -> Self {
        Self::Line { colour, width: 3.0, opacity: 0.4, dashes: "" }
    }

    /// A line for what was not measured.
    pub fn dashed(colour: Colour) -> Self {
        Self::Line { colour, width: 3.5, opacity: 1.0, dashes: "12 8" }
    }

    /// A dot at each point.
    pub fn dots(colour: Colour, radius: f64) -> Self {
        Self::Markers { colour, shape: 0, radius, fill: 1.0 }
    }

    /// The line with this number: colours return after five lines, with other dashes.
    pub fn numbered(index: usize) -> Self {
        let dashes = ["", "22 10", "5 9", "44 14"][index / 5 % 4];
        Self::Line { colour: line_colour(index), width: 5.0, opacity: 1.0, dashes }
    }
}

/// The colour of the line with this number.
pub(crate) fn line_colour(index: usize) -> Colour {
    [BLUE, ORANGE, GREEN, PURPLE, NEUTRAL][index % 5]
}

/// What a picture is drawn on, the later above the earlier.
#[derive(Debug, Default)]
pub(crate) struct Canvas(String);

impl Canvas {
    /// The picture of what was drawn, `height` units high.
    pub fn finish(self, height: f64, title: String) -> Picture {
        Picture { height, title, body: self.0 }
    }

    fn push(&mut self, element: Markup) {
        self.0.push_str(&element.0);
        self.0.push('\n');
    }

    /// What `draw` draws as a group whose title is shown under the pointer.
    pub fn titled(&mut self, title: &str, draw: impl FnOnce(&mut Self)) {
        let mut inside = Self::default();
        draw(&mut inside);
        self.push(html! { g { title { (title) } "\n" (PreEscaped(inside.0)) } });
    }

    /// What has this look at these points.
    pub fn draw(&mut self, look: &Look, points: &[Point]) {
        match look {
            _ if points.is_empty() => {}
            Look::Line { colour, width, opacity, dashes } => self.push(html! {
                polyline points=(coordinates(points)) fill="none" stroke=(colour.0) stroke-width=(width)
                    stroke-opacity=[(*opacity < 1.0).then_some(opacity)]
                    stroke-dasharray=[(!dashes.is_empty()).then_some(dashes)] {}
            }),
            Look::Area(colour) => self.push(html! {
                polygon points=(coordinates(points)) fill=(colour.0) fill-opacity="0.3" stroke=(colour.0) stroke-width="3" {}
            }),
            Look::Markers { colour, shape, radius, fill } => self.push(html! {
                path d=(outlines(&corners(*shape, *radius), points)) stroke=(colour.0) stroke-width="3"
                    fill=(colour.0) fill-opacity=(fill) pointer-events="all" {}
            }),
            Look::Text(text) => points.iter().for_each(|(x, y)| self.text(text, (x - 8.0, y + 16.0), 30.0, "end")),
        }
    }

    /// A line of text whose middle line is at the height of `at`, which is where it starts, or its middle or end.
    pub fn text(&mut self, text: &str, at: Point, size: f64, anchor: &str) {
        self.words(text, at, size, anchor, None, None);
    }

    /// A heading.
    pub fn heading(&mut self, text: &str, at: Point, size: f64, anchor: &str) {
        self.words(text, at, size, anchor, Some("bold"), None);
    }

    /// Text that runs upwards, around `at`.
    pub fn upwards(&mut self, text: &str, at: Point, size: f64) {
        self.words(text, at, size, "middle", None, Some(format!("rotate(-90 {})", coordinates(&[at]))));
    }

    fn words(
        &mut self,
        text: &str,
        (x, y): Point,
        size: f64,
        anchor: &str,
        weight: Option<&str>,
        turn: Option<String>,
    ) {
        if !text.is_empty() {
            self.push(html! {
                // Digits and capitals are about 0.7 of the size high.
                text x=(unit(x)) y=(unit(y + size * 0.35)) font-family="sans-serif" font-size=(unit(size))
                    font-weight=[weight] text-anchor=(anchor) transform=[turn] fill=(TEXT.0) { (text) }
            });
        }
    }
}

/// A number with a digit after the point, where it is not whole.
fn unit(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn coordinates(points: &[Point]) -> String {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", unit(*x), unit(*y))).collect();
    points.join(" ")
}

/// The outline of a marker around each point, as the path of SVG.
fn outlines(corners: &[Point], points: &[Point]) -> String {
    let mut steps = String::new();
    for pair in corners.windows(2) {
        // Relative to the corner before, which is shorter; writing to a string cannot fail.
        let _ = write!(steps, "{},{} ", unit(pair[1].0 - pair[0].0), unit(pair[1].1 - pair[0].1));
    }
    let (dx, dy) = corners[0];
    points.iter().map(|(x, y)| format!("M{},{}l{steps}z", unit(x + dx), unit(y + dy))).collect()
}

/// The corners of a marker around its middle: circle, square, triangle, diamond, triangle upside down, cross; then again.
fn corners(shape: usize, radius: f64) -> Vec<Point> {
    let regular = |count: u32, turn: f64, size: f64| -> Vec<Point> {
        let angle = |i| (turn + f64::from(i) / f64::from(count)) * std::f64::consts::TAU;
        (0..count).map(|i| (radius * size * angle(i).cos(), radius * size * angle(i).sin())).collect()
    };
    match shape % 6 {
        0 => regular(16, 0.0, 1.0),
        1 => regular(4, 0.125, 1.25),
        2 => regular(3, 0.75, 1.3),
        3 => regular(4, 0.0, 1.3),
        4 => regular(3, 0.25, 1.3),
        _ => {
            let (near, far) = (radius * 0.42, radius * 1.25);
            let (mut arm, mut all) = ([(near, far), (-near, far), (-near, near)], Vec::new());
            for _ in 0..4 {
                all.extend(arm);
                arm = arm.map(|(x, y)| (-y, x));
            }
            all
        }
    }
}

/// A space that keeps a number and its unit on one line.
const NBSP: char = '\u{A0}';

/// About how wide a text is drawn, on the wide side: the font is the reader's.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    let share = |c: char| match c {
        'i' | 'j' | 'l' | ' ' | NBSP | '.' | ',' | ':' | ';' | '|' | '\'' => 0.36,
        't' | 'f' | 'r' | '!' | '(' | ')' => 0.44,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '&' => 1.0,
        'A'..='Z' | '+' | '=' | '<' | '>' | '~' | '#' => 0.84,
        ' '..='~' => 0.64,
        // Latin, Greek and Cyrillic; beyond are letters as wide as they are high, and pictures.
        '\u{A0}'..='\u{52F}' | '–' | '…' | '−' => 0.84,
        _ => 1.3,
    };
    text.chars().map(|c| share(c) * size).sum()
}

/// As much of a text as has room.
pub(crate) fn fitting(text: &str, size: f64, room: f64) -> String {
    if text_width(text, size) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut width = text_width("…", size);
    for c in text.chars() {
        width += text_width(c.encode_utf8(&mut [0; 4]), size);
        if width > room {
            break;
        }
        kept.push(c);
    }
    format!("{}…", kept.trim_end())
}

/// A text in lines that have room.
pub(crate) fn wrapped(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let longer = lines.last().map(|line| format!("{line} {word}"));
        match longer.filter(|longer| text_width(longer, size) <= room).zip(lines.last_mut()) {
            Some((longer, line)) => *line = longer,
            None => lines.push(fitting(word, size, room)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_differ() {
        let markers: Vec<_> = (0..6).map(|shape| corners(shape, 10.0)).collect();
        for (i, marker) in markers.iter().enumerate() {
            assert!(!markers[..i].contains(marker));
            assert!(marker.iter().all(|(x, y)| x.hypot(*y) <= 14.0), "{marker:?}");
        }
    }

    #[test]
    fn twenty_lines_look_different() {
        let looks: Vec<_> = (0..20).map(Look::numbered).collect();
        for (i, look) in looks.iter().enumerate() {
            assert!(!looks[..i].contains(look), "{i}");
        }
    }

    #[test]
    fn text_is_cut_to_its_room() {
        assert_eq!(fitting("short", 30.0, 200.0), "short");
        for text in ["W".repeat(100), "語".repeat(100), "word ".repeat(100)] {
            let cut = fitting(&text, 30.0, 200.0);
            assert!(cut.ends_with('…') && cut.chars().count() > 3, "{cut}");
            assert!(text_width(&cut, 30.0) <= 200.0, "{cut}");
        }
        assert_eq!(fitting("abc", 30.0, 0.0), "…");
        assert_eq!(wrapped("one two  three", 10.0, 50.0), ["one two", "three"]);
        assert!(wrapped("", 10.0, 50.0).is_empty());
    }

    #[test]
    fn places_need_not_be_whole() {
        let mut canvas = Canvas::default();
        canvas.draw(&Look::line(BLUE), &[(1.0, 2.25), (-0.5, 1e3)]);
        canvas.draw(&Look::Area(BLUE), &[]);
        let svg = canvas.finish(10.2, "<one>".into()).to_svg();
        assert!(svg.contains(" points=\"1,2.2 -0.5,1000\" "), "{svg}");
        assert!(
            svg.contains("viewBox=\"0 0 1200 11\"") && svg.contains("aria-label=\"&lt;one&gt;\""),
            "{svg}"
        );
        assert!(!svg.contains("polygon"));
    }
}
