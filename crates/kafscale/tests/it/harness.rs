//! The binary, and a broker made from it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};

/// The binary with nothing of the surrounding environment that could be a setting.
pub fn kafscale(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafscale"));
    command.env_clear().args(arguments).envs(variables.iter().copied());
    command
}

/// A broker on free ports, killed when the test ends.
pub struct Serve {
    process: Child,
    lines: BufReader<ChildStderr>,
    said: String,
}

impl Serve {
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_with(data, arguments, &[])
    }

    pub fn start_with(data: &Path, arguments: &[&str], variables: &[(String, String)]) -> Self {
        let mut command = kafscale(&["serve"], &[]);
        command.envs(variables.iter().cloned()).arg("--data").arg(data);
        command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]).args(arguments);
        let mut process = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let lines = BufReader::new(process.stderr.take().expect("it is piped"));
        Self { process, lines, said: String::new() }
    }

    /// Reads stderr up to the line with the word `ready`.
    pub fn ready(self) -> Self {
        self.says("ready: ")
    }

    /// Reads stderr up to a line with these words.
    pub fn says(mut self, words: &str) -> Self {
        while !self.said.lines().any(|line| line.contains(words)) {
            let read = self.lines.read_line(&mut self.said).unwrap();
            assert!(read > 0, "ended before it said {words:?}:\n{}", self.said);
        }
        self
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        self.told("ready: serving Kafka clients at ", ',')
    }

    /// What follows `before` in the lines so far, up to `end`.
    fn told(&self, before: &str, end: char) -> String {
        let at = self.said.rfind(before).unwrap_or_else(|| panic!("no {before:?} in:\n{}", self.said));
        self.said[at + before.len()..].split(end).next().unwrap().to_owned()
    }

    pub fn get(&self, path: &str) -> String {
        let address = self.told("http=\"", '"');
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(name).arg(self.process.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end; what was said on stderr until then is the second value.
    pub fn end(mut self) -> (ExitStatus, String) {
        let mut said = std::mem::take(&mut self.said);
        self.lines.read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap(), said)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
