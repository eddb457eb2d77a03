//! What the screen shows and how keys change it. It draws into any frame, so a test reads it from a buffer.

use ratatui::{
    Frame,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::Line,
    widgets::{Paragraph, Row as Cells, Table, TableState, Tabs},
};

use super::rates::Rates;
use crate::{output::Row, text::escape::safe};

/// The tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// Topics.
    Topics,
    /// Partitions.
    Partitions,
    /// Groups.
    Groups,
}

const TABS: [(Tab, &str); 3] = [(Tab::Topics, "Topics"), (Tab::Partitions, "Partitions"), (Tab::Groups, "Groups")];

/// What a person chose.
pub struct View {
    tab: Tab,
    by_rate: bool,
    paused: bool,
    table: TableState,
    /// Rows that fit, for paging.
    page: usize,
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing, or something that the view did already.
    Nothing,
    /// To end.
    Quit,
}

impl View {
    /// Topics, the busiest first.
    pub fn new() -> Self {
        Self { tab: Tab::Topics, by_rate: true, paused: false, table: TableState::new().with_selected(0), page: 1 }
    }

    /// Whether new looks are to be shown.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Acts on a key.
    pub fn key(&mut self, key: KeyEvent) -> Asked {
        let page = self.page as u16;
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Asked::Quit,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Asked::Quit,
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(TABS.len() - 1),
            KeyCode::Char(digit @ '1'..='3') => self.show(TABS[digit as usize - '1' as usize].0),
            KeyCode::Char('s') => self.by_rate = !self.by_rate,
            KeyCode::Char('p') | KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Down | KeyCode::Char('j') => self.table.select_next(),
            KeyCode::Up | KeyCode::Char('k') => self.table.select_previous(),
            KeyCode::PageDown => self.table.scroll_down_by(page),
            KeyCode::PageUp => self.table.scroll_up_by(page),
            KeyCode::Home => self.table.select_first(),
            KeyCode::End => self.table.select_last(),
            _ => {}
        }
        Asked::Nothing
    }

    fn turn(&mut self, by: usize) {
        self.show(TABS[(self.index() + by) % TABS.len()].0);
    }

    fn show(&mut self, tab: Tab) {
        self.tab = tab;
        self.table = TableState::new().with_selected(0);
    }

    fn index(&self) -> usize {
        TABS.iter().position(|(tab, _)| *tab == self.tab).expect("every tab is in the list")
    }

    /// Draws everything.
    pub fn draw(&mut self, frame: &mut Frame<'_>, rates: Option<&Rates>, note: &str) {
        let [head, tabs, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
                .areas(frame.area());
        let summary = rates.map_or_else(|| "looking ...".to_owned(), Rates::summary);
        frame.render_widget(Paragraph::new(safe(&summary).into_owned()), head);
        let titles = TABS.iter().enumerate().map(|(index, (_, title))| Line::from(format!("{} {title}", index + 1)));
        frame.render_widget(Tabs::new(titles).select(self.index()), tabs);
        if let Some(rates) = rates {
            self.draw_table(frame, body, rates);
        }
        let order = if self.by_rate { "by rate" } else { "by name" };
        let paused = if self.paused { ", PAUSED" } else { "" };
        let keys = format!("q quit  Tab table  s sort ({order})  p pause  arrows scroll{paused}  {}", safe(note));
        frame.render_widget(Paragraph::new(keys).style(Style::new().add_modifier(Modifier::DIM)), foot);
    }

    fn draw_table(&mut self, frame: &mut Frame<'_>, area: Rect, rates: &Rates) {
        self.page = usize::from(area.height.saturating_sub(1)).max(1);
        match self.tab {
            Tab::Topics => self.rows(frame, area, &rates.topics, |topic| topic.written_per_s),
            Tab::Partitions => self.rows(frame, area, &rates.partitions, |partition| partition.written_per_s),
            Tab::Groups => self.rows(frame, area, &rates.groups, |group| group.read_per_s),
        }
    }

    /// Rows come by name; by rate those of one rate stay so.
    fn rows<R: Row>(&mut self, frame: &mut Frame<'_>, area: Rect, all: &[R], rate: impl Fn(&R) -> f64) {
        let mut order: Vec<&R> = all.iter().collect();
        if self.by_rate {
            order.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
        }
        let cells: Vec<Vec<String>> =
            order.iter().map(|row| row.cells().iter().map(|cell| safe(cell).into_owned()).collect()).collect();
        let widths = (0..R::HEADINGS.len()).map(|column| {
            let cells = cells.iter().map(|row| row[column].chars().count());
            let width = cells.chain([R::HEADINGS[column].len()]).max().unwrap_or(0);
            if column == 0 { Constraint::Min(12) } else { Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX)) }
        });
        let head = Cells::new(R::HEADINGS.iter().copied()).style(Style::new().add_modifier(Modifier::BOLD));
        let table = Table::new(cells.iter().map(|row| Cells::new(row.iter().map(String::as_str))), widths)
            .header(head)
            .column_spacing(2)
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        frame.render_stateful_widget(table, area, &mut self.table);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ratatui::{Terminal, backend::TestBackend};

    use super::{super::rates::tests::sample, *};

    fn drawn(view: &mut View, rates: Option<&Rates>) -> String {
        let mut terminal = Terminal::new(TestBackend::new(100, 8)).unwrap();
        terminal.draw(|frame| view.draw(frame, rates, "")).unwrap();
        let cells = terminal.backend().buffer().content();
        cells
            .chunks(100)
            .map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n")
            .collect()
    }

    fn rates() -> Rates {
        let start = Instant::now();
        Rates::between(&sample(start, 100, 10), &sample(start + Duration::from_secs(2), 300, 250))
    }

    fn press(view: &mut View, code: KeyCode) -> Asked {
        view.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn the_busiest_topic_comes_first() {
        let mut view = View::new();
        let screen = drawn(&mut view, Some(&rates()));
        assert!(
            screen.starts_with("cluster c: 1 broker, 2 topics, 2 partitions, 1 group, 100 records/s\n"),
            "{screen}"
        );
        let lines: Vec<Vec<&str>> = screen.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[2], ["TOPIC", "PARTITIONS", "UNHEALTHY", "RECORDS", "WRITTEN/S"]);
        assert_eq!(lines[3], ["orders", "1", "-", "300", "100"]);
        assert_eq!(lines[4], ["quiet", "1", "1", "0", "-"]);
    }

    #[test]
    fn keys_turn_to_the_other_tables() {
        let mut view = View::new();
        press(&mut view, KeyCode::Char('3'));
        let screen = drawn(&mut view, Some(&rates()));
        let row: Vec<&str> = screen.lines().nth(3).unwrap().split_whitespace().collect();
        assert_eq!(row, ["g", "Stable", "2", "50", "120"]);
        press(&mut view, KeyCode::Left);
        assert!(drawn(&mut view, Some(&rates())).contains("EARLIEST"));
        assert_eq!(press(&mut view, KeyCode::Char('p')), Asked::Nothing);
        assert!(view.is_paused() && drawn(&mut view, None).contains("PAUSED"));
        assert_eq!(press(&mut view, KeyCode::Esc), Asked::Quit);
        assert_eq!(view.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Asked::Quit);
    }
}
