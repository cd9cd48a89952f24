//! Embeddings of some people as points of a plane.

use std::fmt::Write;

use facegrad_results::{EmbeddingMap, MapClass};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    chart::{
        AXIS, DrawError, FONT, MARGIN, Mark, NEUTRAL, class_colour, draw, extent, finite, fitting, font,
        heading, hex, marker, number,
    },
    html::escaped,
};

/// So many classes have a marker of their own.
const MARKED: usize = 12;
const RADIUS: f64 = 11.0;

/// A scatter of points by class, as SVG.
///
/// Classes differ in the shape of their markers, filled for the first six and hollow for the next, and in colour.
/// Both axes have the same scale, for it is distances that are to be seen.
///
/// # Errors
/// If the drawing library fails.
pub fn embedding_map(map: &EmbeddingMap) -> Result<String, DrawError> {
    let points: Vec<Vec<(f64, f64)>> = map.classes.iter().map(|class| finite(&class.points)).collect();
    let mut markers = String::new();
    let mut svg = draw("the map of embeddings", 1240, |area| {
        let mut legend: Vec<_> = map.classes.iter().take(MARKED).enumerate().map(entry).collect();
        let others = map.classes.len().saturating_sub(MARKED);
        if others > 0 {
            let corners = marker(0, RADIUS / 2.0);
            let mark = Mark::Marker { colour: NEUTRAL, corners, filled: true };
            legend.push((mark, format!("{} others", number(others as f64))));
        }
        let area = heading(area, &map.title, &legend)?;
        let (columns, rows) = area.get_pixel_range();
        let (width, height) = area.dim_in_pixel();
        let label = |text: &str| if text.is_empty() { 0 } else { FONT + 22 };
        let (left, right) = (MARGIN + label(&map.y_label), width as i32 - MARGIN);
        let (top, bottom) = (14, height as i32 - MARGIN - label(&map.x_label));
        area.draw(&Rectangle::new([(left, top), (right, bottom)], AXIS.stroke_width(2)))?;
        let below = ((left + right) / 2, bottom + 14);
        let centred = font(FONT).pos(Pos::new(HPos::Center, VPos::Top));
        if !map.x_label.is_empty() {
            let text = fitting(&map.x_label, FONT, right - left);
            area.draw(&Text::new(text, below, centred.clone()))?;
        }
        if !map.y_label.is_empty() {
            let text = fitting(&map.y_label, FONT, bottom - top);
            let beside = (MARGIN - 6, (top + bottom) / 2);
            area.draw(&Text::new(text, beside, centred.transform(FontTransform::Rotate270)))?;
        }

        let all = || points.iter().flatten();
        let (x, y) = (extent(all().map(|point| point.0)), extent(all().map(|point| point.1)));
        const ROOM: i32 = 34;
        let scale = [(right - left, x), (bottom - top, y)]
            .map(|(pixels, (low, high))| f64::from(pixels - 2 * ROOM) / (high - low));
        let scale = scale[0].min(scale[1]);
        let middle = ((x.0 + x.1) / 2.0, (y.0 + y.1) / 2.0);
        let place = |point: &(f64, f64)| {
            let dx = ((point.0 - middle.0) * scale).round() as i32;
            let dy = ((point.1 - middle.1) * scale).round() as i32;
            (columns.start + (left + right) / 2 + dx, rows.start + (top + bottom) / 2 - dy)
        };
        // The others first, below those that are named.
        for (i, class) in
            map.classes.iter().enumerate().skip(MARKED).chain(map.classes.iter().enumerate().take(MARKED))
        {
            push_class(&mut markers, i, &class.name, points[i].iter().map(place));
        }
        Ok(())
    })?;
    // The drawing library knows neither paths of many parts nor titles.
    if let Some(end) = svg.rfind("</svg>") {
        svg.insert_str(end, &markers);
    }
    Ok(svg)
}

fn entry((i, class): (usize, &MapClass)) -> (Mark, String) {
    let (shape, filled) = look(i);
    (Mark::Marker { colour: class_colour(i), corners: marker(shape, RADIUS), filled }, class.name.clone())
}

/// The shape of the class with this number, and whether it is filled.
fn look(class: usize) -> (usize, bool) {
    // The hollow shapes are in another order, so that no colour has the same shape twice.
    if class < 6 { (class, true) } else { ((class + 3) % 6, false) }
}

/// Writes the points of a class as one path, with its name as title.
fn push_class(svg: &mut String, class: usize, name: &str, places: impl Iterator<Item = (i32, i32)>) {
    let is_marked = class < MARKED;
    let (shape, filled) = if is_marked { look(class) } else { (0, true) };
    let corners = marker(shape, if is_marked { RADIUS } else { RADIUS / 2.0 });
    let mut path = String::new();
    for (x, y) in places {
        let mut from = (0, 0);
        for (i, &(dx, dy)) in corners.iter().enumerate() {
            // Relative to the last corner, which is shorter.
            let _ = match i {
                0 => write!(path, "M{},{}l", x + dx, y + dy),
                _ => write!(path, "{},{} ", dx - from.0, dy - from.1),
            };
            from = (dx, dy);
        }
        path.push('z');
    }
    if path.is_empty() {
        return;
    }
    let colour = hex(if is_marked { class_colour(class) } else { NEUTRAL });
    let fill = if filled { colour.as_str() } else { "none" };
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<g class=\"person\"><title>{}</title>\n<path d=\"{path}\" fill=\"{fill}\" fill-opacity=\"0.5\" \
         stroke=\"{colour}\" stroke-width=\"3\" pointer-events=\"all\"/></g>",
        escaped(name)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::texts_of_well_formed;

    fn map(classes: usize) -> EmbeddingMap {
        let class = |i: usize| MapClass {
            name: format!("<person> {i}"),
            points: vec![(i as f64, 0.0), (0.0, i as f64 / 2.0), (f64::NAN, 0.0)],
        };
        EmbeddingMap {
            title: "PCA".into(),
            x_label: "component 1".into(),
            y_label: "component 2".into(),
            classes: (0..classes).map(class).collect(),
            note: String::new(),
        }
    }

    #[test]
    fn every_person_is_named_and_drawn() {
        let svg = embedding_map(&map(14)).unwrap();
        let texts = texts_of_well_formed(&svg);
        for text in ["PCA", "component 1", "component 2", "&lt;person&gt; 11", "2 others"] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
        assert_eq!(svg.matches("<g class=\"person\">").count(), 14);
        assert_eq!(svg.matches("M").count(), 2 * 14);
    }

    #[test]
    fn twelve_people_are_told_apart_without_colour() {
        let looks: Vec<_> = (0..12).map(look).collect();
        for (i, one) in looks.iter().enumerate() {
            assert!(!looks[..i].contains(one), "{i}");
            assert!(i < 6 || looks[i - 6].0 != one.0, "{i} has the colour and shape of {}", i - 6);
        }
    }

    #[test]
    fn distances_keep_their_proportions() {
        let square = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
        let class = MapClass { name: "square".into(), points: square.to_vec() };
        let svg = embedding_map(&EmbeddingMap { classes: vec![class], ..EmbeddingMap::default() }).unwrap();
        let places: Vec<(i32, i32)> = svg
            .split('M')
            .skip(1)
            .map(|part| part.split('l').next().unwrap().split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        let [a, b, c, d] = places[..] else { panic!("{places:?}") };
        assert!(b.0 - a.0 > 500 && (b.0 - a.0) - (b.1 - c.1) < 2, "{places:?}");
        assert!(a.1 == b.1 && c.1 == d.1 && a.0 == d.0 && a.1 > d.1, "up is more: {places:?}");
    }

    #[test]
    fn any_map_is_drawn() {
        texts_of_well_formed(&embedding_map(&EmbeddingMap::default()).unwrap());
        texts_of_well_formed(&embedding_map(&map(1)).unwrap());
        let one = MapClass { name: String::new(), points: vec![(3.0, 3.0), (f64::INFINITY, 1.0)] };
        texts_of_well_formed(
            &embedding_map(&EmbeddingMap { classes: vec![one], ..EmbeddingMap::default() }).unwrap(),
        );
    }
}
