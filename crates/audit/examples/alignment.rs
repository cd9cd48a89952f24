//! exploratory
use std::path::Path;
use facegrad_audit::{SIDE, Thumbnail};
use facegrad_faces::{ARCFACE_LANDMARKS, Picture, Similarity2d, SourceConfig, plain, warp};
use rayon::prelude::*;

fn highpass(t: &Thumbnail) -> Vec<f32> {
    let p = t.pixels();
    let n = SIDE as isize;
    (0..SIDE * SIDE).map(|i| {
        let (y, x) = ((i / SIDE) as isize, (i % SIDE) as isize);
        let (mut s, mut c, mut q) = (0.0f32, 0.0f32, 0.0f32);
        for dy in -4..=4 { for dx in -4..=4 {
            let (yy, xx) = (y + dy, x + dx);
            if yy < 0 || xx < 0 || yy >= n || xx >= n { continue; }
            let v = f32::from(p[(yy * n + xx) as usize]);
            s += v; q += v * v; c += 1.0;
        }}
        let m = s / c; let sd = (q / c - m * m).max(0.0).sqrt();
        (f32::from(p[i]) - m) / (sd + 8.0)
    }).collect()
}
fn plainv(t: &Thumbnail) -> Vec<f32> { t.pixels().iter().map(|&v| f32::from(v)).collect() }

/// NCC of the window [y0..y1, x0..x1] of mean with the image displaced by (dy,dx)
fn ncc(a: &[f32], m: &[f32], w: [usize; 4], dy: isize, dx: isize) -> f32 {
    let [y0, y1, x0, x1] = w;
    let (mut sa, mut sm, mut saa, mut smm, mut sam, mut c) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0f32);
    for y in y0..y1 { for x in x0..x1 {
        let (yy, xx) = (y as isize + dy, x as isize + dx);
        if yy < 0 || xx < 0 || yy >= SIDE as isize || xx >= SIDE as isize { continue; }
        let (p, q) = (a[yy as usize * SIDE + xx as usize], m[y * SIDE + x]);
        sa += p; sm += q; saa += p * p; smm += q * q; sam += p * q; c += 1.0;
    }}
    let cov = sam - sa * sm / c; let va = saa - sa * sa / c; let vm = smm - sm * sm / c;
    cov / (va * vm).max(1e-9).sqrt()
}

fn moved(p: &Picture, scale: f32, angle: f32, dx: f32, dy: f32) -> Picture {
    let (c, s) = (angle.to_radians().cos() * scale, angle.to_radians().sin() * scale);
    let to = ARCFACE_LANDMARKS.map(|[x, y]| { let (x, y) = (x - 56.0, y - 56.0); [c * x - s * y + 56.0 + dx, s * x + c * y + 56.0 + dy] });
    let t = Similarity2d::estimate(ARCFACE_LANDMARKS, to).unwrap();
    // Reflect the border by a padded copy, so that black margins give nothing away.
    let pad = 40usize; let (w, h) = (p.width(), p.height());
    let m = |v: isize, n: usize| { let n = n as isize; let mut v = v; if v < 0 { v = -v - 1 } if v >= n { v = 2 * n - 1 - v } v as usize };
    let mut px = Vec::new();
    for y in 0..h + 2 * pad { for x in 0..w + 2 * pad { let (sy, sx) = (m(y as isize - pad as isize, h), m(x as isize - pad as isize, w)); px.extend_from_slice(&p.pixels()[(sy * w + sx) * 3..][..3]); } }
    let big = Picture::new(w + 2 * pad, h + 2 * pad, px);
    let wide = Similarity2d::estimate(ARCFACE_LANDMARKS.map(|[x, y]| [x + pad as f32, y + pad as f32]), ARCFACE_LANDMARKS.map(|q| t.apply(q.map(f64::from)).map(|v| v as f32))).unwrap();
    warp(&big, &wide, [112, 112])
}

fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let source = SourceConfig::of_path(Path::new(&folder)).unwrap().open_any().unwrap().source;
    let step = (source.len() / 3000).max(1);
    let pics: Vec<Picture> = (0..source.len()).into_par_iter().step_by(step).filter_map(|i| Some(plain(source.load(i, [112, 112]).ok()?, [112, 112]))).collect();
    type F = fn(&Thumbnail) -> Vec<f32>;
    let feats: [(&str, F, [usize; 4]); 3] = [("plain inner", plainv, [8, 28, 6, 26]), ("local eyes", highpass, [10, 20, 5, 27]), ("local inner", highpass, [9, 29, 5, 27])];
    let kinds: Vec<(&str, Box<dyn Fn(&Picture) -> Picture + Sync>)> = vec![
        ("shift 6", Box::new(|p: &Picture| moved(p, 1.0, 0.0, 6.0, 0.0))),
        ("shift down 6", Box::new(|p: &Picture| moved(p, 1.0, 0.0, 0.0, 6.0))),
        ("shift 12", Box::new(|p: &Picture| moved(p, 1.0, 0.0, -12.0, 0.0))),
        ("shift up 12", Box::new(|p: &Picture| moved(p, 1.0, 0.0, 0.0, -12.0))),
        ("turn 10", Box::new(|p: &Picture| moved(p, 1.0, 10.0, 0.0, 0.0))),
        ("turn 20", Box::new(|p: &Picture| moved(p, 1.0, 20.0, 0.0, 0.0))),
        ("turn 180", Box::new(|p: &Picture| moved(p, 1.0, 180.0, 0.0, 0.0))),
        ("scale 0.75", Box::new(|p: &Picture| moved(p, 0.75, 0.0, 0.0, 0.0))),
        ("scale 1.33", Box::new(|p: &Picture| moved(p, 1.333, 0.0, 0.0, 0.0))),
    ];
    for (name, f, w) in feats {
        let good: Vec<Vec<f32>> = pics.par_iter().map(|p| f(&Thumbnail::of(p.clone()))).collect();
        let mut mean = vec![0.0f32; SIDE * SIDE];
        if std::env::args().nth(2).is_some() {
            use facegrad_faces::{FaceSource, SyntheticConfig, SyntheticFaces};
            let s = SyntheticFaces::new(&SyntheticConfig { identities: 400, images: 1, ..Default::default() });
            let all: Vec<Vec<f32>> = (0..400usize).into_par_iter().map(|i| f(&Thumbnail::of(s.load(i, [112, 112]).unwrap()))).collect();
            for g in &all { for (m, v) in mean.iter_mut().zip(g) { *m += v / all.len() as f32 } }
        } else {
        for g in &good { for (m, v) in mean.iter_mut().zip(g) { *m += v / good.len() as f32 } }
        }
        let score = |a: &Vec<f32>| ncc(a, &mean, w, 0, 0);
        let _shift = |a: &Vec<f32>| -> f32 {
            let mut best = (-2.0, 0.0);
            for dy in -5isize..=5 { for dx in -5isize..=5 { let s = ncc(a, &mean, w, dy, dx); if s > best.0 { best = (s, ((dx * dx + dy * dy) as f32).sqrt()) } } }
            -best.1 + 0.01 * score(a)
        };
        for (what, measure) in [("ncc", &score as &(dyn Fn(&Vec<f32>) -> f32 + Sync))] {
            let mut g: Vec<f32> = good.par_iter().map(|a| measure(a)).collect();
            g.sort_unstable_by(f32::total_cmp);
            println!("{name} {what}: good min {:.3} 1% {:.3} 5% {:.3} 50% {:.3}", g[0], g[g.len() / 100], g[g.len() / 20], g[g.len() / 2]);
            for (kind, change) in &kinds {
                let b: Vec<f32> = pics.par_iter().step_by(3).map(|p| measure(&f(&Thumbnail::of(change(p))))).collect();
                let auc = b.iter().map(|x| 1.0 - g.partition_point(|y| y < x) as f64 / g.len() as f64).sum::<f64>() / b.len() as f64;
                let at = |share: usize| b.iter().filter(|&&x| x < g[g.len() / share]).count() as f64 / b.len() as f64;
                println!("   {kind:14} AUC {auc:.3}  median {:.2} caught at 5% {:.2} 1% {:.2} at 0.1% {:.2}", { let mut b = b.clone(); b.sort_unstable_by(f32::total_cmp); b[b.len() / 2] }, at(20), at(100), at(1000));
            }
        }
    }
}
