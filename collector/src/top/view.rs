//! What is drawn, and what a key changes.

use std::path::PathBuf;

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::live::{Live, Standing, lock};
use super::rates::{Rates, Row, SortBy, sort};
use crate::sinks::look::{By, Look, Surface};
use crate::sinks::summary;
use crate::sinks::text;

/// The views, by their keys.
const VIEWS: [(&str, Option<By>); 8] = [
    ("processes", Some(By::Process)),
    ("tree", Some(By::Tree)),
    ("files", Some(By::File)),
    ("network", Some(By::Peer)),
    ("failures", Some(By::Error)),
    ("alerts", Some(By::Rule)),
    ("sensor", None),
    (OUTPUT, None),
];
/// What a program of our own prints.
const OUTPUT: &str = "output";
/// Lines of a list, and events of a process, that are made: more than any terminal has.
const MOST_LINES: usize = 500;

/// Columns that one key moves by.
const SHIFT: usize = 20;

const HELP: [(&str, &str); 12] = [
    ("1 … 8, Tab", "the views"),
    ("↑ ↓ j k, PgUp PgDn, g G", "move"),
    ("← →", "see the rest of long lines"),
    ("Enter", "the last events of the process"),
    ("Esc", "back; leave the filter"),
    ("/", "show only some events, as --filter: proc.name = curl"),
    ("s, S", "sort by the next column; the other way round"),
    ("p, Space", "stand still, and go on; nothing is lost meanwhile"),
    ("r", "record from here, or end that, for 'glassbox replay'"),
    ("c", "begin anew: forget what was"),
    ("?, h", "this help"),
    ("q, ^C", "leave; what is watched goes on (run --tui: ^C interrupts)"),
];

/// What a key asks of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Stay,
    Leave,
    /// To interrupt the program, where it is one of our own; else to leave.
    Interrupt,
}

/// What is shown.
#[derive(Debug)]
pub struct View {
    view: usize,
    /// How many there are.
    views: usize,
    selected: usize,
    top: usize,
    sort: SortBy,
    is_reversed: bool,
    /// The process that is looked into.
    inside: Option<(u32, String)>,
    /// The filter that is typed, and what is wrong with it.
    typed: Option<String>,
    wrong: String,
    has_help: bool,
    is_paused: bool,
    has_colours: bool,
    is_ascii: bool,
    record_to: PathBuf,
    rates: Rates,
    rows: Vec<Row>,
    /// The lines of the other views.
    lines: Vec<String>,
    /// What the heading says.
    heading: String,
    height: usize,
    /// Columns that are left out at the left.
    shift: usize,
}

impl View {
    /// The first view; recordings go to `record_to`.
    pub fn new(record_to: PathBuf) -> Self {
        let look = Look::wanted(Surface::Terminal(80), &crate::sinks::look::Show::default());
        Self {
            view: 0,
            views: VIEWS.len() - 1,
            selected: 0,
            top: 0,
            sort: SortBy::default(),
            is_reversed: false,
            inside: None,
            typed: None,
            wrong: String::new(),
            has_help: false,
            is_paused: false,
            has_colours: look.style != text::Style::Plain,
            is_ascii: look.is_ascii,
            record_to,
            rates: Rates::default(),
            rows: Vec::new(),
            lines: Vec::new(),
            heading: String::new(),
            height: 1,
            shift: 0,
        }
    }

    /// Looks at what is known, `seconds` after the look before.
    pub fn look(&mut self, live: &Live, seconds: f64, columns: usize) {
        let rows = self.rates.look(&live.gathered, seconds);
        if self.is_paused {
            return;
        }
        // A process of which a filter let nothing in is none of what was asked for.
        let rows: Vec<Row> =
            rows.into_iter().filter(|row| row.events > 0 || live.filter_text.is_empty()).collect();
        self.heading = self.headline(live, &rows);
        self.rows = rows;
        self.arrange(live, columns);
    }

    /// Makes the lines of the view, of what is known.
    pub fn arrange(&mut self, live: &Live, columns: usize) {
        sort(&mut self.rows, self.sort, self.is_reversed);
        self.lines = match (&self.inside, VIEWS[self.view]) {
            (Some((pid, _)), _) => live.events_of(*pid, MOST_LINES),
            (None, (OUTPUT, _)) => {
                let printed = live.printed.as_ref();
                printed.map_or_else(Vec::new, |printed| lock(printed).last_lines(MOST_LINES))
            }
            (None, (_, Some(By::Process))) => Vec::new(),
            (None, (_, by)) => {
                let look = Look {
                    top: Some(MOST_LINES),
                    by,
                    ..Look::on(Surface::Terminal(columns), text::Style::Plain)
                };
                summary::part(&live.gathered, look).lines().map(str::to_owned).collect()
            }
        };
        self.views = if live.printed.is_some() { VIEWS.len() } else { VIEWS.len() - 1 };
        if self.inside.is_some() || VIEWS[self.view].0 == OUTPUT {
            // The newest are of interest.
            self.selected = self.lines.len().saturating_sub(1);
        }
        self.keep_inside();
    }

    fn headline(&self, live: &Live, rows: &[Row]) -> String {
        let running = rows.iter().filter(|row| row.is_running).count();
        let cpu = rows.iter().map(|row| row.cpu).fold(0.0, |sum, cpu| sum + cpu);
        let lost = live.gathered.lost;
        let mut text = format!(
            "{} running, {} events/s, cpu {cpu:.0} %, {} failed, {} alerts, {} lost",
            text::plural(running as u64, "process"),
            text::count(self.rates.rate as u64),
            text::count(live.failed),
            text::count(live.gathered.alerts.len()),
            text::count(lost),
        );
        if !live.filter_text.is_empty() {
            text.push_str(&format!("  [filter: {}]", live.filter_text));
        }
        text
    }

    fn length(&self) -> usize {
        if self.is_table() { self.rows.len() } else { self.lines.len() }
    }

    fn is_table(&self) -> bool {
        self.view == 0 && self.inside.is_none()
    }

    fn keep_inside(&mut self) {
        self.selected = self.selected.min(self.length().saturating_sub(1));
        self.top = self.top.min(self.selected).max((self.selected + 1).saturating_sub(self.height));
    }

    fn go_to(&mut self, view: usize) {
        self.view = view % self.views;
        (self.selected, self.top, self.inside, self.shift) = (0, 0, None, 0);
    }

    /// Takes a key. The caller looks again after it.
    pub fn key(&mut self, key: KeyEvent, live: &mut Live) -> Wish {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && key.code == KeyCode::Char('c') {
            return Wish::Interrupt;
        }
        if self.typed.is_some() {
            self.type_filter(key.code, live);
            return Wish::Stay;
        }
        if std::mem::take(&mut self.has_help) {
            return Wish::Stay;
        }
        live.recorded.clear();
        let page = self.height.max(1);
        match key.code {
            KeyCode::Char('q') => return Wish::Leave,
            KeyCode::Char('?' | 'h') => self.has_help = true,
            KeyCode::Char(digit @ '1'..='8') if digit as usize - ('1' as usize) < self.views => {
                self.go_to(digit as usize - '1' as usize);
            }
            KeyCode::Tab => self.go_to(self.view + 1),
            KeyCode::BackTab => self.go_to(self.view + self.views - 1),
            KeyCode::Down | KeyCode::Char('j') => self.selected += 1,
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::PageDown => self.selected += page,
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(page),
            KeyCode::Home | KeyCode::Char('g') => self.selected = 0,
            KeyCode::End | KeyCode::Char('G') => self.selected = usize::MAX / 2,
            KeyCode::Right => self.shift += SHIFT,
            KeyCode::Left => self.shift = self.shift.saturating_sub(SHIFT),
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('S') => self.is_reversed = !self.is_reversed,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('r') => live.record(&self.record_to),
            KeyCode::Char('/') => self.typed = Some(live.filter_text.clone()),
            KeyCode::Char('c') => {
                live.begin_anew();
                self.rates.forget();
            }
            KeyCode::Enter if self.is_table() => {
                self.inside = self.rows.get(self.selected).map(|row| (row.pid, row.program.clone()));
            }
            KeyCode::Esc if self.inside.take().is_some() => {}
            KeyCode::Esc if !live.filter_text.is_empty() => {
                let _ = live.set_filter("");
                self.rates.forget();
            }
            _ => {}
        }
        self.keep_inside();
        Wish::Stay
    }

    fn type_filter(&mut self, code: KeyCode, live: &mut Live) {
        let Some(text) = &mut self.typed else { return };
        match code {
            KeyCode::Char(letter) => text.push(letter),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Esc => (self.typed, self.wrong) = (None, String::new()),
            KeyCode::Enter => match live.set_filter(text) {
                Ok(()) => {
                    (self.typed, self.wrong) = (None, String::new());
                    self.rates.forget();
                }
                Err(wrong) => self.wrong = wrong,
            },
            _ => {}
        }
    }

    /// Draws everything.
    pub fn draw(&mut self, frame: &mut Frame<'_>, live: &Live) {
        // What is wrong with a filter has a line of its own.
        let foot = if self.typed.is_some() && !self.wrong.is_empty() { 2 } else { 1 };
        let parts =
            [Constraint::Length(1), Constraint::Length(1), Constraint::Min(0), Constraint::Length(foot)];
        let [heading, views, body, foot] = Layout::vertical(parts).areas(frame.area());
        self.height = usize::from(body.height).saturating_sub(1).max(1);
        self.keep_inside();
        frame.render_widget(Line::styled(self.plain(&self.heading), self.bold()), heading);
        frame.render_widget(self.views(), views);
        if self.is_table() {
            self.draw_table(frame, body);
        } else {
            self.draw_lines(frame, body);
        }
        frame.render_widget(Paragraph::new(self.foot(live)), foot);
        if self.has_help {
            self.draw_help(frame);
        }
    }

    /// In letters that the terminal has.
    fn plain(&self, text: &str) -> String {
        if !self.is_ascii {
            return text.to_owned();
        }
        let mut out = Vec::new();
        let look = Look { is_ascii: true, ..Look::on(Surface::Other, text::Style::Plain) };
        crate::sinks::look::laid_out(look, text.as_bytes(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn bold(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    fn coloured(&self, color: Color) -> Style {
        if self.has_colours { Style::new().fg(color) } else { Style::new() }
    }

    fn views(&self) -> Line<'static> {
        let mut spans = Vec::new();
        for (place, (name, _)) in VIEWS.iter().enumerate().take(self.views) {
            let style = if place == self.view {
                Style::new().add_modifier(Modifier::REVERSED)
            } else {
                self.coloured(Color::Cyan)
            };
            spans.push(Span::styled(format!(" {} {name} ", place + 1), style));
        }
        Line::from(spans)
    }

    fn draw_table(&self, frame: &mut Frame<'_>, area: Rect) {
        // Most sessions have none, and little room.
        let has_alerts = self.rows.iter().any(|row| row.alerts > 0);
        let alerts = |text: &str| if has_alerts { format!(" {text:>6}") } else { String::new() };
        let head = format!(
            "{:>8} {:>9} {:>6} {:>9} {:>8} {:>8} {:>7}{}  {}",
            "PID",
            "EVENTS/S",
            "CPU%",
            "EVENTS",
            "FILES",
            "NET",
            "FAILED",
            alerts("ALERTS"),
            "PROGRAM"
        );
        let mut lines =
            vec![Line::styled(head, self.coloured(Color::Cyan).add_modifier(Modifier::UNDERLINED))];
        let bytes = |bytes: u64| if bytes == 0 { "-".to_owned() } else { text::size(bytes).replace(' ', "") };
        for (place, row) in self.rows.iter().enumerate().skip(self.top).take(self.height) {
            let end = if row.is_running { "" } else { "  (ended)" };
            let lost = if row.lost > 0 { format!("  {} lost", row.lost) } else { String::new() };
            let text = format!(
                "{:>8} {:>9.0} {:>6.1} {:>9} {:>8} {:>8} {:>7}{}  {}{end}{lost}",
                row.pid,
                row.rate,
                row.cpu,
                row.events,
                bytes(row.files),
                bytes(row.net),
                row.failures,
                alerts(&row.alerts.to_string()),
                row.program,
            );
            let text: String = text.chars().skip(self.shift).collect();
            let style = match row.is_running {
                true => Style::new(),
                false => Style::new().add_modifier(Modifier::DIM),
            };
            lines.push(self.line(place, self.plain(&text), style));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn draw_lines(&self, frame: &mut Frame<'_>, area: Rect) {
        let title = match &self.inside {
            Some((pid, program)) => format!("the last events of {pid} {program}"),
            None => VIEWS[self.view].0.to_owned(),
        };
        let mut lines = vec![Line::styled(self.plain(&title), self.coloured(Color::Cyan))];
        for (place, text) in self.lines.iter().enumerate().skip(self.top).take(self.height) {
            let rest: String = text.chars().skip(self.shift).collect();
            lines.push(self.line(place, self.plain(&rest), Style::new()));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn line(&self, place: usize, text: String, style: Style) -> Line<'static> {
        let style = if place == self.selected { style.add_modifier(Modifier::REVERSED) } else { style };
        Line::styled(text, style)
    }

    fn foot(&self, live: &Live) -> Vec<Line<'static>> {
        let red = self.coloured(Color::Red);
        if let Some(text) = &self.typed {
            let wrong = Some(&self.wrong).filter(|wrong| !wrong.is_empty());
            let wrong = wrong.map(|wrong| Line::styled(self.plain(wrong), red));
            return std::iter::once(Line::raw(self.plain(&format!("filter: {text}_"))))
                .chain(wrong)
                .collect();
        }
        if let Standing::Gone(why) = &live.standing {
            return vec![Line::styled(self.plain(&format!("no collector, looking for it: {why}")), red)];
        }
        if let (Standing::Ended(how), true) = (&live.standing, live.recorded.is_empty()) {
            return vec![Line::styled(self.plain(&format!("{how}; q leaves")), self.bold())];
        }
        let mut text = String::new();
        if live.is_recording() {
            text.push_str("[recording] ");
        }
        if self.is_paused {
            text.push_str("[standing still: p] ");
        }
        if live.recorded.is_empty() {
            let order = if self.is_reversed { ", reversed" } else { "" };
            text.push_str(&format!("? help  q leave  Enter / s p r  sort: {}{order}", self.sort.name()));
        } else {
            text.push_str(&live.recorded);
        }
        vec![Line::styled(self.plain(&text), Style::new().add_modifier(Modifier::DIM))]
    }

    fn draw_help(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let height = (HELP.len() as u16 + 2).min(area.height);
        let width = 80.min(area.width);
        let at = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
        let lines: Vec<Line<'_>> =
            HELP.iter().map(|(keys, what)| Line::raw(self.plain(&format!("{keys:<23}{what}")))).collect();
        frame.render_widget(Clear, at);
        frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), at);
    }
}
