//! Embeddings of some people as points of a plane.

use facegrad_results::{EmbeddingMap, MapClass};

use crate::{
    chart::{Axis, Chart, LINEAR, Layer, Panel, extent, number},
    svg::{BLUE, Colour, GREEN, Look, NEUTRAL, ORANGE, PINK, PURPLE, Picture},
};

/// So many classes have a marker of their own.
const MARKED: usize = 12;

/// A scatter of points by class.
///
/// Classes differ in the shape of their markers, filled for the first six and hollow for the next, and in colour.
/// Both axes have the same scale, for it is distances that are to be seen.
pub fn embedding_map(map: &EmbeddingMap) -> Picture {
    let others = map.classes.len().saturating_sub(MARKED);
    let layer = |(i, class): (usize, &MapClass)| {
        let layer = Layer::new(look(i), class.points.iter().copied()).titled(class.name.clone());
        match i {
            0..MARKED => layer.named(class.name.clone()),
            MARKED => layer.named(format!("{} others", number(others as f64))),
            _ => layer,
        }
    };
    let layers = map.classes.iter().enumerate().map(layer);

    let points = || map.classes.iter().flat_map(|class| &class.points);
    let (x, y) = (extent(points().map(|point| point.0)), extent(points().map(|point| point.1)));
    // With room for markers at the edge.
    let half = (x.1 - x.0).max(y.1 - y.0) * 0.53;
    let axis = |label: &str, (low, high): (f64, f64)| {
        let middle = (low + high) / 2.0;
        let range = (middle - half, middle + half);
        Axis::new(label, range, LINEAR, [range.0, range.1].map(|end| (end, String::new())))
    };
    Chart::new(&map.title, Panel::new([axis(&map.x_label, x), axis(&map.y_label, y)], None, layers)).picture()
}

/// How the class with this number looks.
fn look(class: usize) -> Look {
    const COLOURS: [Colour; 6] = [BLUE, ORANGE, GREEN, PURPLE, PINK, NEUTRAL];
    if class >= MARKED {
        return Look::dots(NEUTRAL, 5.5);
    }
    // The hollow shapes are in another order, so that no colour has the same shape twice.
    let (shape, fill) = if class < 6 { (class, 0.6) } else { ((class + 3) % 6, 0.0) };
    Look::Markers { colour: COLOURS[class % 6], shape, radius: 11.0, fill }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::texts_of_well_formed;

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
        let svg = embedding_map(&map(14)).to_svg();
        let texts = texts_of_well_formed(&svg);
        for text in ["PCA", "component 1", "component 2", "&lt;person&gt; 11", "2 others"] {
            assert!(texts.iter().any(|t| t == text), "{text} in {texts:?}");
        }
        assert_eq!(svg.matches("<g><title>").count(), 14);
        let points = |part: &str| part.split("</g>").next().unwrap().matches('M').count();
        assert!(svg.split("</title>").skip(1).all(|part| points(part) == 2), "{svg}");
    }

    #[test]
    fn twelve_people_are_told_apart_without_colour() {
        let shape = |class| match look(class) {
            Look::Markers { shape, fill, .. } => (shape, fill > 0.0),
            other => panic!("{other:?}"),
        };
        let looks: Vec<_> = (0..12).map(shape).collect();
        for (i, one) in looks.iter().enumerate() {
            assert!(!looks[..i].contains(one), "{i}");
            assert!(i < 6 || looks[i - 6].0 != one.0, "{i} has the colour and shape of {}", i - 6);
        }
    }

    #[test]
    fn distances_keep_their_proportions() {
        let square = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
        let class = MapClass { name: "square".into(), points: square.to_vec() };
        let svg = embedding_map(&EmbeddingMap { classes: vec![class], ..EmbeddingMap::default() }).to_svg();
        let places: Vec<(f64, f64)> = svg
            .split_once("</title>")
            .unwrap()
            .1
            .split('M')
            .skip(1)
            .map(|part| part.split('l').next().unwrap().split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        let [a, b, c, d] = places[..] else { panic!("{places:?}") };
        assert!(b.0 - a.0 > 500.0 && ((b.0 - a.0) - (b.1 - c.1)).abs() < 1.0, "{places:?}");
        assert!(a.1 == b.1 && c.1 == d.1 && a.0 == d.0 && a.1 > d.1, "up is more: {places:?}");
    }

    #[test]
    fn any_map_is_drawn() {
        texts_of_well_formed(&embedding_map(&EmbeddingMap::default()).to_svg());
        texts_of_well_formed(&embedding_map(&map(1)).to_svg());
        let one = MapClass { name: String::new(), points: vec![(3.0, 3.0), (f64::INFINITY, 1.0)] };
        texts_of_well_formed(
            &embedding_map(&EmbeddingMap { classes: vec![one], ..EmbeddingMap::default() }).to_svg(),
        );
    }
}
