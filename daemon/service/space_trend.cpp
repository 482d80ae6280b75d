// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/service/space_trend.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/base/bytes.h"
#include "config/base/json.h"
#include "daemon/process/state_lock.h"
#include "fs/io/backend.h"
#include "fs/io/open_backend.h"

namespace cairn {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;

constexpr days kTrendSpan{14};
constexpr days kHistoryKept{30};
constexpr hours kBetweenSamples{1};
constexpr hours kLeastSpan{24};
constexpr std::size_t kLeastSamples = 3;
constexpr std::uint64_t kMostHistoryBytes = std::uint64_t{1} << 20U;

// Nothing: it does not have the form it must have.
std::optional<std::vector<SpaceSample>> parse_samples(const nlohmann::json& document) {
  std::vector<SpaceSample> samples;
  const auto problem = problem_of_reading([&] {
    for (const auto& row : document.at("samples"))
      samples.push_back({UtcTime(seconds(whole_number<std::int64_t>(row.at(0)))),
                         whole_number<std::uint64_t>(row.at(1)), whole_number<std::uint64_t>(row.at(2))});
  });
  if (problem) return std::nullopt;
  return samples;
}

}  // namespace

std::optional<double> days_left(std::span<const SpaceSample> samples, UtcTime now) {
  std::vector<SpaceSample> counted;
  for (const SpaceSample& sample : samples) {
    if (sample.time > now || now - sample.time > kTrendSpan) continue;
    if (!counted.empty() && counted.back().total != sample.total) counted.clear();
    counted.push_back(sample);
  }
  if (counted.size() < kLeastSamples || counted.back().time - counted.front().time < kLeastSpan) return std::nullopt;
  // Least squares: slope = sum (t - mean t)(f - mean f) / sum (t - mean t)^2, in bytes a day.
  const auto day_of = [&](const SpaceSample& sample) {
    return static_cast<double>((sample.time - counted.front().time).count()) / 86400.0;
  };
  double mean_day = 0;
  double mean_free = 0;
  for (const SpaceSample& sample : counted) {
    mean_day += day_of(sample);
    mean_free += static_cast<double>(sample.free);
  }
  mean_day /= static_cast<double>(counted.size());
  mean_free /= static_cast<double>(counted.size());
  double together = 0;
  double squares = 0;
  for (const SpaceSample& sample : counted) {
    together += (day_of(sample) - mean_day) * (static_cast<double>(sample.free) - mean_free);
    squares += (day_of(sample) - mean_day) * (day_of(sample) - mean_day);
  }
  if (together >= 0) return std::nullopt;
  return static_cast<double>(counted.back().free) / (-together / squares);
}

SpaceHistory::SpaceHistory(const std::filesystem::path& state_dir, const std::string& store_id)
    : name_("space/" + store_id + ".json") {
  if (!state_dir.empty() && make_state_dir(state_dir)) records_ = open_backend(state_dir);
}

SpaceHistory::~SpaceHistory() = default;

std::vector<SpaceSample> SpaceHistory::samples() const {
  if (!records_) return {};
  const auto bytes = records_->get(name_, kMostHistoryBytes);
  if (!bytes) return {};
  const auto document = parse_json(as_text(*bytes));
  if (!document) return {};
  return parse_samples(*document).value_or(std::vector<SpaceSample>());
}

void SpaceHistory::note(const SpaceSample& sample) {
  if (!records_) return;
  const auto locked = writing_.lock();
  std::vector<SpaceSample> kept = samples();
  // Also those of a clock that ran ahead go: they would keep all others out.
  std::erase_if(
      kept, [&](const SpaceSample& old) { return old.time > sample.time || sample.time - old.time > kHistoryKept; });
  if (!kept.empty() && sample.time - kept.back().time < kBetweenSamples && kept.back().total == sample.total) return;
  kept.push_back(sample);
  nlohmann::json rows = nlohmann::json::array();
  for (const SpaceSample& row : kept) rows.push_back({row.time.time_since_epoch().count(), row.free, row.total});
  const std::string text = json_text(nlohmann::json{{"version", 1}, {"samples", std::move(rows)}});
  static_cast<void>(records_->put(name_, as_bytes(text), IfExists::replace).has_value());
}

}  // namespace cairn
