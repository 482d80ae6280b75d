// SPDX-License-Identifier: GPL-3.0-or-later
// Cron expressions. The rules are crontab(5)'s, with names allowed in lists and ranges as all crons in fact do.
#include "config/cron.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <span>
#include <vector>

#include "config/base/error.h"
#include "config/base/text.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::local_days;
using std::chrono::local_seconds;
using std::chrono::minutes;

struct FieldRule {
  std::string_view name;
  unsigned lowest;
  unsigned highest;
  std::span<const std::string_view> names;  // of lowest, lowest + 1, ...
  std::string_view expected;
};

constexpr std::array<std::string_view, 12> kMonthNames = {"jan", "feb", "mar", "apr", "may", "jun",
                                                          "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdayNames = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

constexpr FieldRule kMinute = {"minute", 0, 59, {}, "0 to 59"};
constexpr FieldRule kHour = {"hour", 0, 23, {}, "0 to 23"};
constexpr FieldRule kDay = {"day of the month", 1, 31, {}, "1 to 31"};
constexpr FieldRule kMonth = {"month", 1, 12, kMonthNames, "1 to 12 or jan to dec"};
constexpr FieldRule kWeekday = {"day of the week", 0, 7, kWeekdayNames, "0 to 7 (0 and 7 are Sunday) or sun to sat"};

using Values = std::bitset<64>;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::vector<std::string_view> split_at_blanks(std::string_view text) {
  static constexpr std::string_view kBlanks = " \t";
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t begin = text.find_first_not_of(kBlanks);
    if (begin == std::string_view::npos) return words;
    text.remove_prefix(begin);
    const std::size_t end = text.find_first_of(kBlanks);
    words.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return words;
    text.remove_prefix(end);
  }
}

std::optional<unsigned> parse_number(std::string_view text) {
  unsigned number = 0;
  const auto [rest, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || rest != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<unsigned> parse_value(std::string_view text, const FieldRule& rule) {
  if (const auto number = parse_number(text)) {
    if (*number < rule.lowest || *number > rule.highest) return std::nullopt;
    return number;
  }
  const std::string name = lower_ascii(text);
  for (std::size_t i = 0; i < rule.names.size(); ++i)
    if (rule.names[i] == name) return static_cast<unsigned>(i) + rule.lowest;
  return std::nullopt;
}

TextProblem problem_in(const FieldRule& rule, std::string_view item, std::string expected) {
  return {fmt::format("{} \"{}\"", rule.name, item), std::move(expected)};
}

// 0 and 7 are the same day of the week.
unsigned widest_step(const FieldRule& rule, unsigned first, unsigned last) {
  return last - first + (rule.highest == 7 ? 0 : 1);
}

// What "7/2" may have been meant as. Only what would be taken is proposed.
std::string step_hint(const FieldRule& rule, std::string_view from, unsigned first, std::optional<unsigned> step) {
  const auto fits = [&](unsigned lowest) {
    return step && *step >= 1 && *step <= widest_step(rule, lowest, rule.highest);
  };
  if (!fits(rule.lowest))
    return fmt::format("a step of a range, such as */{}", widest_step(rule, rule.lowest, rule.highest) / 2);
  std::string hint = fmt::format("a step of a range, such as */{}", *step);
  if (first < rule.highest && fits(first)) hint += fmt::format(" or {}-{}/{}", from, rule.highest, *step);
  return hint;
}

// One of a field's comma-separated items: "*", "*/5", "7", "1-5", "mon-fri/2".
std::optional<TextProblem> add_item(std::string_view item, const FieldRule& rule, Values& values) {
  const std::size_t slash = item.find('/');
  const std::string_view range = item.substr(0, slash);
  unsigned first = rule.lowest;
  unsigned last = rule.highest;
  bool is_range = true;
  if (range != "*") {
    const std::size_t dash = range.find('-');
    is_range = dash != std::string_view::npos;
    const auto from = parse_value(range.substr(0, dash), rule);
    auto to = is_range ? parse_value(range.substr(dash + 1), rule) : from;
    if (!from || !to) return problem_in(rule, item, std::string(rule.expected));
    // "fri-sun": Sunday is both the first and the last day of the week.
    if (&rule == &kWeekday && *to == 0 && *from > 0) to = 7;
    if (*from > *to && &rule == &kWeekday && *from == 7)
      return problem_in(rule, item,
                        fmt::format("the smaller value first (Sunday at the start of a range is 0: it is written 0-{})",
                                    range.substr(dash + 1)));
    if (*from > *to)
      return problem_in(
          rule, item,
          fmt::format("the smaller value first (a range over the end is written {}-{},{}-{})", range.substr(0, dash),
                      rule.highest == 7 ? 6 : rule.highest, rule.lowest, range.substr(dash + 1)));
    first = *from;
    last = *to;
  }
  unsigned step = 1;
  if (slash != std::string_view::npos) {
    const std::string_view step_text = item.substr(slash + 1);
    const auto parsed = parse_number(step_text);
    if (!is_range) return problem_in(rule, item, step_hint(rule, range, first, parsed));
    const unsigned widest = widest_step(rule, first, last);
    if (!parsed || *parsed == 0 || *parsed > widest) {
      std::string expected = fmt::format("a step of 1 to {}", widest);
      if (parsed && *parsed > widest && range == "*" && (&rule == &kMinute || &rule == &kHour))
        expected += fmt::format("; an interval is written \"every {}{}\"", *parsed, rule.name.front());
      return problem_in(rule, item, expected);
    }
    step = *parsed;
  }
  for (unsigned value = first; value <= last; value += step) values.set(value);
  return std::nullopt;
}

std::expected<Values, TextProblem> parse_field(std::string_view text, const FieldRule& rule) {
  Values values;
  for (const std::string_view item : split(text, ','))
    if (auto problem = add_item(item, rule, values)) return std::unexpected(std::move(*problem));
  return values;
}

template <std::size_t N>
std::bitset<N> narrowed(const Values& values) {
  std::bitset<N> result;
  for (std::size_t i = 0; i < N; ++i) result[i] = values[i];
  return result;
}

struct NamedSchedule {
  std::string_view name;
  std::string_view fields;
};
constexpr NamedSchedule kNamed[] = {{"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
                                    {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
                                    {"@annually", "0 0 1 1 *"}};

std::expected<CronFields, TextProblem> parse_named(std::string_view text) {
  const std::string name = lower_ascii(text);
  std::vector<std::string> names;
  for (const NamedSchedule& known : kNamed) {
    if (known.name == name) return parse_cron(known.fields);
    names.emplace_back(known.name);
  }
  std::string expected = "@hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually";
  if (const auto nearest = nearest_name(name, names)) expected += fmt::format("; did you mean \"{}\"?", *nearest);
  return std::unexpected(TextProblem{fmt::format("\"{}\"", text), expected});
}

bool names_day(const CronFields& fields, local_days day, std::chrono::year_month_day date) {
  const bool in_days = fields.days[static_cast<unsigned>(date.day())];
  const bool in_weekdays = fields.weekdays[std::chrono::weekday(day).c_encoding()];
  // crontab(5): when both fields are restricted (do not start with *), either of them is enough.
  return fields.any_day || fields.any_weekday ? in_days && in_weekdays : in_days || in_weekdays;
}

// The first hour and minute of a day, at or after `from` (time since midnight).
std::optional<minutes> next_in_day(const CronFields& fields, minutes from) {
  for (unsigned hour = static_cast<unsigned>(from / hours{1}); hour < 24; ++hour) {
    if (!fields.hours[hour]) continue;
    const auto start_of_hour = minutes{hour * 60};
    for (unsigned minute = from > start_of_hour ? static_cast<unsigned>((from - start_of_hour).count()) : 0;
         minute < 60; ++minute)
      if (fields.minutes[minute]) return start_of_hour + minutes{minute};
  }
  return std::nullopt;
}

}  // namespace

std::expected<CronFields, TextProblem> parse_cron(std::string_view text) {
  const std::vector<std::string_view> words = split_at_blanks(text);
  if (words.size() == 1 && words[0].starts_with('@')) return parse_named(words[0]);
  if (words.size() != 5)
    return std::unexpected(TextProblem{
        fmt::format("\"{}\"", text),
        fmt::format("five fields (minute hour day-of-month month day-of-week; there {} {} here), a name such as "
                    "\"@daily\", or an interval such as \"every 6h\"",
                    words.size() == 1 ? "is" : "are", words.size())});
  static constexpr const FieldRule* kRules[] = {&kMinute, &kHour, &kDay, &kMonth, &kWeekday};
  std::array<Values, 5> values;
  for (std::size_t i = 0; i < values.size(); ++i) {
    auto parsed = parse_field(words[i], *kRules[i]);
    if (!parsed) return std::unexpected(std::move(parsed).error());
    values[i] = *parsed;
  }
  if (values[4][7]) values[4].set(0);
  CronFields fields;
  fields.minutes = narrowed<60>(values[0]);
  fields.hours = narrowed<24>(values[1]);
  fields.days = narrowed<32>(values[2]);
  fields.months = narrowed<13>(values[3]);
  fields.weekdays = narrowed<7>(values[4]);
  fields.any_day = words[2].starts_with('*');
  fields.any_weekday = words[4].starts_with('*');
  return fields;
}

std::optional<local_seconds> next_local_time(const CronFields& fields, local_seconds from, local_seconds limit) {
  const auto first_minute = std::chrono::ceil<minutes>(from);
  local_days day = std::chrono::floor<days>(first_minute);
  minutes earliest = first_minute - day;
  while (day < limit) {
    const std::chrono::year_month_day date(day);
    if (!fields.months[static_cast<unsigned>(date.month())]) {
      day = local_days{(date.year() / date.month() + std::chrono::months{1}) / std::chrono::day{1}};
      earliest = minutes{0};
      continue;
    }
    if (names_day(fields, day, date)) {
      if (const auto in_day = next_in_day(fields, earliest)) {
        const local_seconds time = day + *in_day;
        return time < limit ? std::optional(time) : std::nullopt;
      }
    }
    day += days{1};
    earliest = minutes{0};
  }
  return std::nullopt;
}

}  // namespace cairn
