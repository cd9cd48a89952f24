//! What all pictures share: size, colours, title, legend, axes and numbers.

use plotters::{
    coord::{Shift, ranged1d::Ranged, types::RangedCoordf64},
    element::DashedPathElement,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

pub(crate) use facegrad_results::numbers::number;

use crate::html::NBSP;

/// A named line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// The name, for the legend.
    pub name: String,
    /// The points, in the order in which to join them.
    pub points: Vec<(f64, f64)>,
}

/// A picture that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw {picture}: {cause}")]
pub struct DrawError {
    /// Which picture.
    picture: &'static str,
    /// What the drawing library says.
    cause: String,
}

/// Any error of the drawing library, as text: its types differ by operation.
pub(crate) type Drawn<T> = Result<T, Box<dyn std::error::Error>>;
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

// The drawing library places everything on whole units, so a unit is half a pixel of the intended size.
pub(crate) const WIDTH: u32 = 1200;
pub(crate) const FONT: i32 = 34;
const LEGEND_FONT: i32 = 31;
pub(crate) const MARGIN: i32 = 28;

pub(crate) const BACKGROUND: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
pub(crate) const TEXT: RGBColor = RGBColor(0x24, 0x29, 0x2F);
pub(crate) const AXIS: RGBColor = RGBColor(0x8C, 0x95, 0x9F);
pub(crate) const GRID: RGBColor = RGBColor(0xE4, 0xE7, 0xEB);
pub(crate) const NEUTRAL: RGBColor = RGBColor(0x6A, 0x73, 0x7D);
pub(crate) const BLUE: RGBColor = RGBColor(0x1F, 0x6F, 0xB2);
pub(crate) const ORANGE: RGBColor = RGBColor(0xC4, 0x56, 0x1A);
const GREEN: RGBColor = RGBColor(0x2A, 0x7F, 0x4F);
const PURPLE: RGBColor = RGBColor(0x7B, 0x4F, 0xB5);
const PINK: RGBColor = RGBColor(0xB8, 0x3B, 0x7D);

/// Each colour of a picture and what stands for it on a dark page.
pub(crate) const DARK: [(RGBColor, &str); 10] = [
    (BACKGROUND, "#1B1F24"),
    (TEXT, "#E6E8EB"),
    (AXIS, "#7D8590"),
    (GRID, "#30363D"),
    (NEUTRAL, "#A3ADB8"),
    (BLUE, "#6CB0EE"),
    (ORANGE, "#F0935A"),
    (GREEN, "#62C08A"),
    (PURPLE, "#B794F0"),
    (PINK, "#F07FB8"),
];

/// The colour of the line with this number.
pub(crate) fn line_colour(index: usize) -> RGBColor {
    [BLUE, ORANGE, GREEN, PURPLE, NEUTRAL][index % 5]
}

/// The colour of the class with this number.
pub(crate) fn class_colour(index: usize) -> RGBColor {
    [BLUE, ORANGE, GREEN, PURPLE, PINK, NEUTRAL][index % 6]
}

/// How the line with this number looks in a legend: the colours return as dashes.
pub(crate) fn line_mark(index: usize) -> Mark {
    let colour = line_colour(index);
    if index < 5 { Mark::Line(colour) } else { Mark::Dashes(colour, DASHES) }
}

/// Draws the line with this number.
pub(crate) fn draw_line(panel: &mut Chart, points: Vec<(f64, f64)>, index: usize) -> Drawn<()> {
    let style = line_colour(index).stroke_width(5);
    if index < 5 {
        panel.draw_series(LineSeries::new(points, style))?;
    } else {
        panel.draw_series(DashedLineSeries::new(points, DASHES.0, DASHES.1, style))?;
    }
    Ok(())
}

/// Length and gap of the dashes of a line.
const DASHES: (i32, i32) = (22, 10);

/// The corners of a marker around its middle: circle, square, triangle, diamond, triangle upside down, cross;
/// then again.
pub(crate) fn marker(shape: usize, radius: f64) -> Vec<(i32, i32)> {
    if shape % 6 == 5 {
        let (near, far) = ((radius * 0.42).round() as i32, (radius * 1.25).round() as i32);
        let arm = [(near, far), (-near, far), (-near, near)];
        let turned = |times: usize| {
            let quarter = |(x, y): (i32, i32)| (-y, x);
            arm.map(|corner| (0..times).fold(corner, |corner, _| quarter(corner)))
        };
        return (0..4).flat_map(turned).collect();
    }
    let (count, turn, size) =
        [(16, 0.0, 1.0), (4, 0.5, 1.25), (3, 0.75, 1.3), (4, 0.0, 1.3), (3, 0.25, 1.3)][shape % 6];
    let corner = |i: i32| {
        let angle = match count {
            // In whole turns: a triangle stands on a side or on a corner.
            3 => turn + f64::from(i) / 3.0,
            _ => (turn + f64::from(i)) / f64::from(count),
        } * std::f64::consts::TAU;
        let [dx, dy] = [angle.cos(), angle.sin()].map(|part| (radius * size * part).round() as i32);
        (dx, dy)
    };
    (0..count).map(corner).collect()
}

/// The distance of the grid lines: 1, 2 or 5 times a power of ten, with four to nine of them.
pub(crate) fn grid_step(range: f64) -> f64 {
    let power = 10_f64.powf((range / 8.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| range / step <= 8.0)
        .unwrap_or(range)
}

/// A colour as the pictures write it.
pub(crate) fn hex(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

/// Draws a picture of the given height and gives its SVG text.
pub(crate) fn draw(
    picture: &'static str,
    height: u32,
    content: impl FnOnce(&Area) -> Drawn<()>,
) -> Result<String, DrawError> {
    let mut svg = String::new();
    let drawn = || -> Drawn<()> {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&BACKGROUND)?;
        content(&area)?;
        area.present()?;
        Ok(())
    };
    // The closure is called once; it borrows the text that is returned.
    match drawn() {
        Ok(()) => Ok(svg),
        Err(cause) => Err(DrawError { picture, cause: cause.to_string() }),
    }
}

/// How an entry of the legend looks.
pub(crate) enum Mark {
    Line(RGBColor),
    Pale(RGBColor),
    Dashed(RGBColor),
    /// Dashes of a length with gaps of another.
    Dashes(RGBColor, (i32, i32)),
    Filled(RGBColor),
    /// The marker of a point, as its corners around the middle.
    Marker {
        colour: RGBColor,
        corners: Vec<(i32, i32)>,
        filled: bool,
    },
}

/// Writes title and legend at the top of `area` and gives the rest of it.
pub(crate) fn heading<'a>(area: &Area<'a>, title: &str, legend: &[(Mark, String)]) -> Drawn<Area<'a>> {
    let left = MARGIN + 12;
    let right = WIDTH as i32 - MARGIN;
    // Bold letters are up to an eighth wider, such as those of DejaVu.
    let title = fitting(title, FONT + 6, (right - left) * 8 / 9);
    area.draw(&Text::new(title, (left, MARGIN), bold(FONT + 6)))?;
    let mut y = MARGIN + FONT + 34;
    let mut x = left;
    for (mark, name) in legend {
        let name = fitting(name, LEGEND_FONT, right - left - 84);
        let width = 84 + text_width(&name, LEGEND_FONT) + 24;
        if x > left && x + width > WIDTH as i32 {
            x = left;
            y += FONT + 14;
        }
        let middle = y + FONT / 2;
        let line = vec![(x, middle), (x + 66, middle)];
        match mark {
            Mark::Line(colour) => area.draw(&PathElement::new(line, colour.stroke_width(5)))?,
            Mark::Pale(colour) => area.draw(&PathElement::new(line, colour.mix(0.35).stroke_width(3)))?,
            Mark::Dashed(colour) => {
                area.draw(&DashedPathElement::new(line, 12, 8, colour.stroke_width(4)))?;
            }
            Mark::Dashes(colour, (length, gap)) => {
                area.draw(&DashedPathElement::new(line, *length, *gap, colour.stroke_width(5)))?;
            }
            Mark::Filled(colour) => {
                let corners = [(x, middle - 13), (x + 66, middle + 13)];
                area.draw(&Rectangle::new(corners, colour.mix(0.3).filled()))?;
                area.draw(&Rectangle::new(corners, colour.stroke_width(3)))?;
            }
            Mark::Marker { colour, corners, filled } => {
                let place = |(dx, dy): &(i32, i32)| (x + 33 + dx, middle + dy);
                let mut corners: Vec<_> = corners.iter().map(place).collect();
                if *filled {
                    area.draw(&Polygon::new(corners.clone(), colour.mix(0.6).filled()))?;
                }
                corners.extend(corners.first().copied());
                area.draw(&PathElement::new(corners, colour.stroke_width(3)))?;
            }
        }
        let style = font(LEGEND_FONT).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(name, (x + 82, middle), style))?;
        x += width;
    }
    let used = if legend.is_empty() { MARGIN + FONT + 24 } else { y + FONT + 10 };
    Ok(area.split_vertically(used).1)
}

/// Writes a paragraph at the bottom of `area` and gives the rest of it.
pub(crate) fn footnote<'a>(area: &Area<'a>, text: &str) -> Drawn<Area<'a>> {
    const SIZE: i32 = 26;
    // As with the legend, the width is a guess.
    const CHARACTERS: usize = ((WIDTH as i32 - 2 * MARGIN - 24) * 100 / (SIZE * 53)) as usize;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| line.chars().count() + word.chars().count() < CHARACTERS) {
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    let line = SIZE + 10;
    let height = area.dim_in_pixel().1 as i32 - MARGIN / 2 - line * lines.len() as i32;
    let (above, below) = area.split_vertically(height);
    for (i, text) in lines.iter().enumerate() {
        below.draw(&Text::new(printable(text), (MARGIN + 12, line * i as i32), font(SIZE)))?;
    }
    Ok(above)
}

/// The axes of a chart.
pub(crate) struct Axes<'a> {
    pub x: (f64, f64),
    pub y: (f64, f64),
    /// Without it there are grid lines, but no labels, for a chart above another.
    pub x_label: &'a str,
    pub y_label: &'a str,
    /// The number of labels on the x axis, at most.
    pub x_ticks: usize,
    /// The number of labels on the y axis, at most.
    pub y_ticks: usize,
    pub x_format: &'a dyn Fn(&f64) -> String,
    pub y_format: &'a dyn Fn(&f64) -> String,
}

/// A place on an axis with a grid line, and its label.
pub(crate) type Tick = (f64, String);

/// A chart with axes, grid and labels that fills `area`, with ticks at round numbers.
pub(crate) fn chart<'a, 'b>(area: &'a Area<'b>, axes: &Axes) -> Drawn<Chart<'a, 'b>> {
    let ticks = |range: (f64, f64), at_most: usize, write: &dyn Fn(&f64) -> String| -> Vec<Tick> {
        let places = RangedCoordf64::from(range.0..range.1).key_points(at_most);
        places.into_iter().map(|place| (place, write(&place))).collect()
    };
    let x_ticks = ticks(axes.x, axes.x_ticks, axes.x_format);
    let y_ticks = ticks(axes.y, axes.y_ticks, axes.y_format);
    chart_with_ticks(area, axes, &x_ticks, &y_ticks)
}

/// A [`chart`] with ticks at given places.
pub(crate) fn chart_with_ticks<'a, 'b>(
    area: &'a Area<'b>,
    axes: &Axes,
    x_ticks: &[Tick],
    y_ticks: &[Tick],
) -> Drawn<Chart<'a, 'b>> {
    let label = FONT - 2;
    // Beside the labels there is room for what the axis shows.
    let widest = y_ticks.iter().map(|(_, text)| text_width(text, label)).max().unwrap_or(0);
    let (y_labels, x_labels) = ((widest + 56).max(150), if axes.x_label.is_empty() { 30 } else { 108 });
    let mut chart = ChartBuilder::on(area)
        .margin_left(MARGIN)
        .margin_right(MARGIN + 30)
        .margin_top(14)
        .margin_bottom(10)
        .set_label_area_size(LabelAreaPosition::Left, y_labels)
        .set_label_area_size(LabelAreaPosition::Bottom, x_labels)
        .build_cartesian_2d(axes.x.0..axes.x.1, axes.y.0..axes.y.1)?;
    chart
        .configure_mesh()
        .x_labels(0)
        .y_labels(0)
        .x_desc(axes.x_label)
        .y_desc(axes.y_label)
        .axis_desc_style(font(FONT))
        .axis_style(AXIS.stroke_width(2))
        .draw()?;

    let (columns, rows) = area.get_pixel_range();
    let place = |x, y| {
        let (x, y) = chart.backend_coord(&(x, y));
        (x - columns.start, y - rows.start)
    };
    let line = |from, to, colour: RGBColor| PathElement::new(vec![from, to], colour.stroke_width(2));
    let style = |h, v| font(label).pos(Pos::new(h, v));
    let (left, bottom, right, top) = (axes.x.0, axes.y.0, axes.x.1, axes.y.1);
    for (x, text) in x_ticks {
        area.draw(&line(place(*x, bottom), place(*x, top), GRID))?;
        if !text.is_empty() && !axes.x_label.is_empty() {
            // Low enough that it keeps clear of the label at the end of the other axis.
            let (x, y) = place(*x, bottom);
            area.draw(&Text::new(text.as_str(), (x, y + 18), style(HPos::Center, VPos::Top)))?;
        }
    }
    for (y, text) in y_ticks {
        area.draw(&line(place(left, *y), place(right, *y), GRID))?;
        if !text.is_empty() {
            let (x, y) = place(left, *y);
            area.draw(&Text::new(text.as_str(), (x - 12, y), style(HPos::Right, VPos::Center)))?;
        }
    }
    area.draw(&line(place(left, bottom), place(left, top), AXIS))?;
    area.draw(&line(place(left, bottom), place(right, bottom), AXIS))?;
    Ok(chart)
}

pub(crate) fn font(size: i32) -> TextStyle<'static> {
    // The size of the drawing library is larger by this factor than that of SVG.
    ("sans-serif", f64::from(size) * 1.24).into_font().color(&TEXT)
}

pub(crate) fn bold(size: i32) -> TextStyle<'static> {
    ("sans-serif", f64::from(size) * 1.24, FontStyle::Bold).into_font().color(&TEXT)
}

/// About how wide a text is drawn, on the wide side: the font is the reader's.
pub(crate) fn text_width(text: &str, size: i32) -> i32 {
    let percent = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | ' ' | NBSP | '.' | ',' | ':' | ';' | '|' | '!' | '\'' | '('
        | ')' => 44,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '&' => 100,
        'A'..='Z' | '+' | '=' | '<' | '>' | '~' | '#' => 84,
        ' '..='~' => 64,
        // Latin, Greek and Cyrillic; beyond are letters as wide as they are high, and pictures.
        '\u{A0}'..='\u{52F}' | '–' | '…' | '−' => 84,
        _ => 130,
    };
    text.chars().map(|c| percent(c) * size / 100).sum()
}

/// As much of a text as has room, printable.
pub(crate) fn fitting(text: &str, size: i32, room: i32) -> String {
    let text = printable(text);
    if text_width(&text, size) <= room {
        return text;
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

/// Text without the control characters that XML does not allow.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// The points that can be drawn.
pub(crate) fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
}

/// The smallest and largest of some numbers; 0 and 1 if there are none, and never the same.
pub(crate) fn extent(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
    if low > high {
        (0.0, 1.0)
    } else if low == high {
        let room = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
        (low - room, high + room)
    } else {
        (low, high)
    }
}

/// A share as a percentage for an axis.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", number((share * 1e8).round() / 1e6))
}

/// A check that `svg` is well-formed: every element closed, nothing unescaped. Gives its texts.
#[cfg(test)]
pub(crate) fn texts_of_well_formed(svg: &str) -> Vec<String> {
    let (mut open, mut texts, mut rest) = (Vec::new(), Vec::new(), svg.trim());
    while let Some(start) = rest.find('<') {
        let text = rest[..start].trim();
        for entity in text.split('&').skip(1) {
            let name = entity.split(';').next().unwrap_or_default();
            assert!(["amp", "lt", "gt", "quot", "#39", "apos"].contains(&name), "the entity &{name}");
        }
        assert!(!text.contains('>'), "a bracket in {text}");
        if !text.is_empty() {
            assert!(!open.is_empty(), "text outside of the picture: {text}");
            texts.push(text.to_owned());
        }
        let end = start + rest[start..].find('>').expect("an open tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "a bracket in the tag {tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "an odd number of quotes in {tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name.to_owned()));
        } else if !tag.ends_with('/') && !tag.starts_with('!') {
            open.push(tag.split_whitespace().next().unwrap_or_default().to_owned());
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.is_empty(), "left open: {open:?}, left over: {rest}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "a number that is none");
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!((grid_step(range) - step).abs() < 1e-9, "{range}: {}", grid_step(range));
        }
    }

    #[test]
    fn markers_differ_and_text_is_cut_to_its_room() {
        let markers: Vec<_> = (0..6).map(|shape| marker(shape, 10.0)).collect();
        for (i, marker) in markers.iter().enumerate() {
            assert!(!markers[..i].contains(marker));
            assert!(marker.iter().all(|(x, y)| x.abs() <= 13 && y.abs() <= 13), "{marker:?}");
        }
        assert_eq!(fitting("short", 30, 200), "short");
        for text in ["W".repeat(100), "語".repeat(100), "word ".repeat(100)] {
            let cut = fitting(&text, 30, 200);
            assert!(cut.ends_with('…') && text_width(&cut, 30) <= 200 && cut.chars().count() > 3, "{cut}");
        }
        assert_eq!(fitting("abc", 30, 0), "…");
    }

    #[test]
    fn any_text_can_be_a_title() {
        let name = "a < b & \"c\" > 'd' \u{0} \n é";
        let svg = draw("a test", 300, |area| {
            heading(area, name, &[(Mark::Dashed(BLUE), name.into())])?;
            Ok(())
        })
        .unwrap();
        let texts = texts_of_well_formed(&svg);
        assert_eq!(texts.len(), 2);
        for text in texts {
            assert!(
                text.starts_with("a &lt; b &amp;") && text.ends_with("é") && !text.contains('\0'),
                "{text}"
            );
        }
    }
}
