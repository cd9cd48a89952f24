//! The built book: its links, its index for searching, and its pages in a browser.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use crate::browser::{self, Scheme};

/// The files of a built book, from its folder.
pub fn files(book: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![book.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(book).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// The values of an attribute of a page.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    page.split(&start).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// What is wrong with the pages of a book: links to nothing, and what comes from elsewhere.
pub fn faults(book: &Path) -> Vec<String> {
    let files = files(book);
    let pages: HashMap<&str, String> = files
        .iter()
        .filter(|name| name.ends_with(".html"))
        .map(|name| (name.as_str(), fs::read_to_string(book.join(name)).unwrap()))
        .collect();
    let mut faults = Vec::new();
    for (name, page) in &pages {
        let links = values(page, "href").into_iter().map(|link| (link, false));
        let loaded = values(page, "src").into_iter().map(|link| (link, true));
        for (link, is_loaded) in links.chain(loaded) {
            if link.contains("://") || link.starts_with("//") {
                if is_loaded {
                    faults.push(format!("{name} loads {link}"));
                }
                continue;
            }
            if link.starts_with("data:") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => Some((*name).to_owned()),
                path => within(name, path),
            };
            match target.filter(|target| files.contains(target)) {
                None => faults.push(format!("{name} has a link to {link}, which is not there")),
                Some(target) => {
                    if let Some(to) = pages.get(target.as_str())
                        && !anchor.is_empty()
                        && !values(to, "id").contains(&anchor)
                    {
                        faults.push(format!("{name} has a link to {link}, and there is no such heading"));
                    }
                }
            }
        }
        for (at, _) in page.match_indices("<link rel=\"stylesheet\"") {
            let tag = page[at..].split('>').next().unwrap_or_default();
            if tag.contains("://") {
                faults.push(format!("{name} loads {tag}"));
            }
        }
    }
    faults
}

/// Where a link of a page leads, in the folder of the book.
fn within(page: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('?').next().unwrap_or_default().split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// mdBook, where `FACEGRAD_MDBOOK` or the PATH has it.
pub fn mdbook() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("FACEGRAD_MDBOOK") {
        return Some(named.into());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join("mdbook")).find(|file| file.is_file())
}

/// What a browser shows of a page at a width.
#[derive(Debug)]
pub struct Shown {
    pub page: String,
    pub width: String,
    /// Results of a search, where the address asked for one.
    pub results: usize,
    /// What leaves the page to the right.
    pub leaves: Vec<String>,
}

/// Opens addresses of the book at each width, light and dark.
pub fn show(browser: &Path, book: &Path, addresses: &[String]) -> Vec<Shown> {
    for name in files(book).iter().filter(|name| name.ends_with(".html")) {
        let page = fs::read_to_string(book.join(name)).unwrap();
        let script = format!("<script>{}</script>\n</head>", include_str!("measure.js"));
        fs::write(book.join(name), page.replacen("</head>", &script, 1)).unwrap();
    }
    [Scheme::Light, Scheme::Dark]
        .into_iter()
        .flat_map(|scheme| browser::show(browser, book, addresses, scheme))
        .map(|fields| {
            let mut fields = fields.into_iter();
            let mut next = || fields.next().unwrap();
            let (page, width, results) = (next(), next(), next().parse().unwrap());
            Shown { page, width, results, leaves: fields.collect() }
        })
        .collect()
}
