//! Lines, read on a thread of their own: a read from a terminal or a pipe may wait for ever, and nothing ends it.

use std::fs::File;
use std::io::{BufReader, IsTerminal, Read};
use std::path::Path;

use tokio::sync::mpsc;

use crate::exit::{Exit, Failure};
use crate::line_reader::{Line, LineError, LineReader};

/// Read at once from the system.
const READ_BYTES: usize = 256 * 1024;
/// Lines go on together when they are here together, up to about this many bytes.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces read ahead of the sender.
const PIECES_AHEAD: usize = 4;

/// Lines that came together, or why there are no more.
pub(super) type Piece = Result<Vec<Line>, LineError>;

/// The file, or stdin; and how many bytes it holds, if that can be told.
pub(super) fn open(path: Option<&Path>) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    let Some(path) = path else {
        if std::io::stdin().is_terminal() {
            eprintln!("one line is one record; Ctrl-D ends");
        }
        return Ok((Box::new(std::io::stdin()), None));
    };
    let failed = |error: std::io::Error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            std::io::ErrorKind::PermissionDenied => Exit::NotAllowed,
            _ => Exit::Failure,
        };
        Failure::new(exit, format!("{}: {error}", path.display()))
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), bytes))
}

/// Begins to read; the first `skip` lines are passed over, however long they are.
pub(super) fn read(
    source: Box<dyn Read + Send>,
    line_bytes_max: usize,
    skip: u64,
) -> Result<mpsc::Receiver<Piece>, Failure> {
    let (give, take) = mpsc::channel(PIECES_AHEAD);
    let reader = LineReader::new(BufReader::with_capacity(READ_BYTES, source), line_bytes_max);
    let thread = std::thread::Builder::new().name("lines".into()).spawn(move || {
        read_all(reader, skip, |piece| give.blocking_send(piece).is_ok());
    });
    thread.map_err(|error| Failure::new(Exit::Failure, format!("no thread to read with: {error}")))?;
    Ok(take)
}

fn read_all<R: Read>(mut reader: LineReader<BufReader<R>>, skip: u64, mut give: impl FnMut(Piece) -> bool) {
    for _ in 0..skip {
        match reader.skip_line() {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                give(Err(error));
                return;
            }
        }
    }
    loop {
        let (lines, over) = read_piece(&mut reader);
        let wanted = lines.is_empty() || give(Ok(lines));
        match over {
            None if wanted => {}
            None | Some(Ok(())) => return,
            Some(Err(error)) => {
                give(Err(error));
                return;
            }
        }
    }
}

/// One line, and those that are here already; then the end, if it was met.
fn read_piece<R: Read>(reader: &mut LineReader<BufReader<R>>) -> (Vec<Line>, Option<Result<(), LineError>>) {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    loop {
        match reader.next_line() {
            Ok(Some(line)) => {
                bytes += line.bytes.len() + size_of::<Line>();
                lines.push(line);
            }
            Ok(None) => return (lines, Some(Ok(()))),
            Err(error) => return (lines, Some(Err(error))),
        }
        if bytes >= PIECE_BYTES || !reader.has_line() {
            return (lines, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(input: &[u8], line_bytes_max: usize, skip: u64) -> (Vec<u64>, Option<String>) {
        let reader = LineReader::new(BufReader::with_capacity(8, input), line_bytes_max);
        let (mut numbers, mut error) = (Vec::new(), None);
        read_all(reader, skip, |piece| {
            match piece {
                Ok(lines) => numbers.extend(lines.iter().map(|line| line.number)),
                Err(failed) => error = Some(failed.to_string()),
            }
            true
        });
        (numbers, error)
    }

    #[test]
    fn skipped_lines_are_counted_and_not_given() {
        assert_eq!(pieces(b"a\nb\nc\n", 10, 0), (vec![1, 2, 3], None));
        assert_eq!(pieces(b"a\nb\nc\n", 10, 2), (vec![3], None));
        assert_eq!(pieces(b"a\nb\nc\n", 10, 9), (vec![], None));
    }

    #[test]
    fn lines_before_an_over_long_one_are_given_first() {
        let (numbers, error) = pieces(b"a\nb\nccccc\nd\n", 4, 0);
        assert_eq!(numbers, [1, 2]);
        assert!(error.unwrap().contains("line 3 is longer than 4 bytes"));
        assert_eq!(pieces(b"a\nb\nccccc\nd\n", 4, 3), (vec![4], None));
    }
}
