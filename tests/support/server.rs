//! An HTTP server on this machine that does what a test wants, good or bad.

// Each test file takes what it needs.
#![allow(dead_code)]

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path on the server.
    pub path: String,
    /// The headers, with names in lower case.
    pub headers: HashMap<String, String>,
    /// How many requests came before.
    pub number: usize,
}

impl Request {
    /// The first byte that is wanted.
    pub fn start(&self) -> usize {
        let range = self.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
        range.and_then(|range| range.strip_suffix('-')?.parse().ok()).unwrap_or(0)
    }
}

/// What the server does about it.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    /// Without a Content-Length here none is sent, and the body ends with the connection.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Bytes of the body after which the connection is closed.
    pub cut: Option<usize>,
    /// Sends no more after that, but does not close the connection either.
    pub hang: bool,
}

impl Answer {
    /// An answer with its length.
    pub fn new(status: u16, body: &[u8]) -> Self {
        Self { status, body: body.into(), ..Default::default() }
            .with("Content-Length", body.len().to_string())
    }

    /// The file `body`, or the rest of it that is asked for, if it is still the version that is meant.
    pub fn ranged(request: &Request, body: &[u8], etag: &str) -> Self {
        let is_same = request.headers.get("if-range").is_none_or(|mark| mark == etag);
        let start = if is_same { request.start() } else { 0 };
        let answer = match start {
            0 => Self::new(200, body),
            start if start >= body.len() => Self::new(416, b""),
            start => Self::new(206, &body[start..])
                .with("Content-Range", format!("bytes {start}-{}/{}", body.len() - 1, body.len())),
        };
        if etag.is_empty() { answer } else { answer.with("ETag", etag.to_owned()) }
    }

    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
        self
    }

    /// Without a length: the body ends with the connection.
    pub fn without_length(mut self) -> Self {
        self.headers.retain(|(name, _)| *name != "Content-Length");
        self
    }

    /// Closes the connection after so many bytes of the body.
    pub fn cut(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    /// Goes silent after so many bytes of the body.
    pub fn hang(mut self, bytes: usize) -> Self {
        self.hang = true;
        self.cut(bytes)
    }
}

/// A server that runs until it is dropped.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers every request by `answer`, one connection a request.
    pub fn new(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let (log, stop, answer) = (requests.clone(), over.clone(), Arc::new(answer));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (log, answer) = (log.clone(), answer.clone());
                // On its own, so that a connection that is left open does not keep the next one out.
                thread::spawn(move || serve(stream, &log, &*answer));
            }
        });
        Self { address, requests, over, thread: Some(thread) }
    }

    /// The address of something on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was asked for so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The first bytes that were asked for so far.
    pub fn starts(&self) -> Vec<usize> {
        self.requests().iter().map(Request::start).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It waits for a connection.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request) -> Answer,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let request = {
        let mut log = log.lock().unwrap();
        let request = Request { path, headers, number: log.len() };
        log.push(request.clone());
        request
    };
    let answer = answer(&request);
    let mut head = format!("HTTP/1.1 {} Whatever\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let end = answer.cut.unwrap_or(answer.body.len()).min(answer.body.len());
    stream.write_all(&answer.body[..end]).ok()?;
    stream.flush().ok()?;
    if answer.hang {
        // Until the other side has had enough.
        let _ = reader.read_to_end(&mut Vec::new());
    }
    Some(())
}
