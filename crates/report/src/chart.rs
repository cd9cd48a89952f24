//! What all pictures share: size, colours, title, legend, axes and numbers.

use plotters::{
    coord::{Shift, types::RangedCoordf64},
    element::DashedPathElement,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

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
const Y_LABELS: u32 = 150;
const X_LABELS: u32 = 100;

pub(crate) const BACKGROUND: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
pub(crate) const TEXT: RGBColor = RGBColor(0x24, 0x29, 0x2F);
pub(crate) const AXIS: RGBColor = RGBColor(0x8C, 0x95, 0x9F);
pub(crate) const GRID: RGBColor = RGBColor(0xE4, 0xE7, 0xEB);
pub(crate) const NEUTRAL: RGBColor = RGBColor(0x6A, 0x73, 0x7D);
pub(crate) const BLUE: RGBColor = RGBColor(0x1F, 0x6F, 0xB2);
pub(crate) const ORANGE: RGBColor = RGBColor(0xC4, 0x56, 0x1A);
const GREEN: RGBColor = RGBColor(0x2A, 0x7F, 0x4F);
const PURPLE: RGBColor = RGBColor(0x7B, 0x4F, 0xB5);

/// Each colour of a picture and what stands for it on a dark page.
pub(crate) const DARK: [(RGBColor, &str); 9] = [
    (BACKGROUND, "#1B1F24"),
    (TEXT, "#E6E8EB"),
    (AXIS, "#7D8590"),
    (GRID, "#30363D"),
    (NEUTRAL, "#A3ADB8"),
    (BLUE, "#6CB0EE"),
    (ORANGE, "#F0935A"),
    (GREEN, "#62C08A"),
    (PURPLE, "#B794F0"),
];

/// The colour of the line with this number.
pub(crate) fn line_colour(index: usize) -> RGBColor {
    [BLUE, ORANGE, GREEN, PURPLE, NEUTRAL][index % 5]
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
    area.draw(&Text::new(printable(title), (left, MARGIN), bold(FONT + 6)))?;
    let mut y = MARGIN + FONT + 34;
    let mut x = left;
    for (mark, name) in legend {
        // Without the font the width of text is a guess, on the wide side.
        let width = 84 + name.chars().count() as i32 * LEGEND_FONT * 56 / 100 + 24;
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
        area.draw(&Text::new(printable(name), (x + 82, middle), style))?;
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

/// A chart with axes, grid and labels that fills `area`.
pub(crate) fn chart<'a, 'b>(area: &'a Area<'b>, axes: &Axes) -> Drawn<Chart<'a, 'b>> {
    let mut chart = ChartBuilder::on(area)
        .margin_left(MARGIN)
        .margin_right(MARGIN + 30)
        .margin_top(14)
        .margin_bottom(10)
        .set_label_area_size(LabelAreaPosition::Left, Y_LABELS)
        .set_label_area_size(LabelAreaPosition::Bottom, if axes.x_label.is_empty() { 30 } else { X_LABELS })
        .build_cartesian_2d(axes.x.0..axes.x.1, axes.y.0..axes.y.1)?;
    chart
        .configure_mesh()
        .x_labels(axes.x_ticks)
        .y_labels(axes.y_ticks)
        .x_label_formatter(&|x| if axes.x_label.is_empty() { String::new() } else { (axes.x_format)(x) })
        .y_label_formatter(axes.y_format)
        .x_desc(axes.x_label)
        .y_desc(axes.y_label)
        .label_style(font(FONT - 2))
        .axis_desc_style(font(FONT))
        .axis_style(AXIS.stroke_width(2))
        .bold_line_style(GRID.stroke_width(2))
        .light_line_style(TRANSPARENT)
        .draw()?;
    Ok(chart)
}

pub(crate) fn font(size: i32) -> TextStyle<'static> {
    // The size of the drawing library is larger by this factor than that of SVG.
    ("sans-serif", f64::from(size) * 1.24).into_font().color(&TEXT)
}

pub(crate) fn bold(size: i32) -> TextStyle<'static> {
    ("sans-serif", f64::from(size) * 1.24, FontStyle::Bold).into_font().color(&TEXT)
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

/// A number for an axis: no more digits than it has, thousands set apart.
pub(crate) fn number(value: f64) -> String {
    // What is left of zero when an axis is divided into steps.
    let value = if value.abs() < 1e-12 { 0.0 } else { value };
    if value != 0.0 && (value.abs() < 1e-4 || value.abs() >= 1e9) {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        return "0".into();
    }
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    format!("{sign}{}{fraction}", thousands(whole))
}

/// Digits with their thousands set apart.
pub(crate) fn thousands(digits: &str) -> String {
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
