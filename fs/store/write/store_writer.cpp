// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/write/store_writer.h"

#include <algorithm>

#include "config/base/error.h"
#include "config/base/log.h"
#include "fs/store/point/mark_files.h"
#include "fs/store/point/point_file.h"
#include "fs/store/store.h"
#include "fs/store/write/writer_core.h"

namespace cairn {
namespace {

// The predecessor that a new point of that name records; call it with store.marks_mutex held. An empty entry: the point
// is the first. A newest point whose file is missing is recorded all the same, so that the next verify reports its
// loss.
Result<NewestPoints::Entry> predecessor_of(StoreState& store, const PointName& name, const NewestPoints& newest) {
  CAIRN_TRY(std::vector<PointName> known, store.points.marks().names_in(kPointsPrefix));
  for (const NewestPoints::Entry& entry : newest.points)
    if (auto point = PointName::parse(entry.point)) known.push_back(*std::move(point));
  const auto previous = newest_before(name, known);
  if (!previous) return NewestPoints::Entry{};
  const auto recorded = std::ranges::find(newest.points, previous->text(), &NewestPoints::Entry::point);
  if (recorded != newest.points.end() && !recorded->hash.empty()) return *recorded;
  NewestPoints::Entry found{previous->text(), {}};
  if (const auto bytes = store.points.read_file(*previous))
    found.hash = Blake3::hex_of(*bytes);
  else
    log_error("point-unreadable", found.point, bytes.error());
  return found;
}

}  // namespace

Result<std::shared_ptr<StoreWriter>> begin_writing(Store& store, const std::string& purpose) {
  CAIRN_TRY(auto core, writer_core_of(store.state(), purpose));
  CAIRN_TRY(const PackNumber next_pack, core->index->next_pack());
  const WriterSessions::Number session = core->sessions.begin(next_pack);
  return std::make_shared<StoreWriter>(store, std::move(core), session);
}

StoreWriter::StoreWriter(Store& store, std::shared_ptr<WriterCore> core, std::uint64_t session)
    : store_(store), core_(std::move(core)), session_(session) {}

StoreWriter::~StoreWriter() {
  core_->sessions.end(session_);
}

Result<void> StoreWriter::hold_point(const PointName& name) {
  CAIRN_TRY(auto hold, core_->store.points.hold(name));
  held_.lock()->push_back(std::move(hold));
  return {};
}

Result<void> StoreWriter::flush() {
  return core_->sink.flush();
}

const PackFindings& StoreWriter::pack_findings() const {
  return core_->findings;
}

Result<std::string> StoreWriter::epoch() {
  return core_->index->epoch();
}

Result<void> StoreWriter::commit(RecoveryPoint& point) {
  CAIRN_CHECK(core_->sink.flush());
  StoreState& store = core_->store;
  // Held while it looks for the predecessor and publishes: a purge in between would leave a tombstone that nobody seems
  // to need, and remove it.
  const auto changes = store.point_changes.lock();
  const MarkFiles marks = store.points.marks();
  // An earlier point of that name may have been deleted: the record of that must not hide this one.
  CAIRN_CHECK(marks.remove(deletion_object(point.name)));
  const auto recorded = marks.newest(point.name.machine);
  if (!recorded) log_error("newest-points-unreadable", point.name.machine, recorded.error());
  NewestPoints newest{point.name.machine, {}};
  if (recorded && *recorded) newest = **recorded;

  CAIRN_TRY(const NewestPoints::Entry previous, predecessor_of(store, point.name, newest));
  point.previous_name = previous.point;
  point.previous = previous.hash;
  const Buffer bytes = seal_point(point, store.keys, store.document.algorithm, store.document.id);
  if (bytes.size() > kMaxPointBytes)
    return fail(ErrorCode::internal, "commit recovery point", point.name.text(), "its document is larger than 64 MiB");
  CAIRN_CHECK(store.backend->put(point_object(point.name), bytes, IfExists::fail));

  // The point is committed from here on, so no error below is returned. An old record of the newest points is behind,
  // not wrong. One that cannot be read for the moment is not replaced: it may name a point that is missing.
  if (!recorded && !is_damage_error(recorded.error())) return {};
  newest.add({point.name.text(), Blake3::hex_of(bytes)}, previous.point);
  if (const auto written = marks.write(newest); !written)
    log_error("newest-points-not-recorded", point.name.text(), written.error());
  return {};
}

}  // namespace cairn
