//! The live screen: looks are taken beside it, keys are read by it.

use std::time::Duration;

use anyhow::Context;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::{runtime::Runtime, sync::watch};

use super::{
    rates::Rates,
    sample::Sample,
    view::{Asked, View},
};
use crate::{client::Session, exit::Failure};

/// How long the screen waits for a key before it looks for something new to show.
const KEY_PATIENCE: Duration = Duration::from_millis(100);

/// The newest look, or what went wrong.
type Newest = Option<Result<Rates, String>>;

/// Shows the cluster until a key ends it. The terminal is put back whatever happens.
pub fn run(runtime: &Runtime, session: Session, interval: Duration) -> Result<(), Failure> {
    let (newest, seen) = watch::channel(None);
    let looking = runtime.spawn(look(session, interval, newest));
    let mut terminal = ratatui::try_init().context("the terminal cannot be used")?;
    let shown = show(&mut terminal, seen);
    ratatui::restore();
    looking.abort();
    Ok(shown.context("the terminal failed")?)
}

/// Looks again and again; after an error too, since a broker may come back.
async fn look(session: Session, interval: Duration, newest: watch::Sender<Newest>) {
    let mut before: Option<Sample> = None;
    while !newest.is_closed() {
        match Sample::take(&session).await {
            Ok(now) => {
                newest.send_replace(Some(Ok(Rates::between(before.as_ref().unwrap_or(&now), &now))));
                before = Some(now);
            }
            Err(failure) => _ = newest.send_replace(Some(Err(failure.to_string()))),
        }
        tokio::time::sleep(interval).await;
    }
}

fn show(terminal: &mut ratatui::DefaultTerminal, mut seen: watch::Receiver<Newest>) -> std::io::Result<()> {
    let mut view = View::new();
    let mut rates: Option<Rates> = None;
    let mut note = String::new();
    loop {
        if !view.is_paused() && seen.has_changed().unwrap_or(false) {
            match &*seen.borrow_and_update() {
                Some(Ok(newest)) => {
                    note = newest.missing.first().map_or_else(String::new, |missing| format!("(not seen: {missing})"));
                    rates = Some(newest.clone());
                }
                Some(Err(error)) => note = format!("({})", error.lines().next().unwrap_or_default()),
                None => {}
            }
        }
        terminal.draw(|frame| view.draw(frame, rates.as_ref(), &note))?;
        if event::poll(KEY_PATIENCE)?
            && let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
            && view.key(key) == Asked::Quit
        {
            return Ok(());
        }
    }
}
