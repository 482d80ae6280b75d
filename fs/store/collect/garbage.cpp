// SPDX-License-Identifier: GPL-3.0-or-later
// Marking, then sweeping. Why nothing that is needed can go: fs/store/FORMAT.md "Garbage collection".
#include "fs/store/collect/garbage.h"

#include <algorithm>
#include <set>

#include "config/base/log.h"
#include "fs/file/direct_io.h"
#include "fs/file/rate_limit.h"
#include "fs/store/collect/garbage_marks.h"
#include "fs/store/point/point_file.h"
#include "fs/store/store.h"
#include "fs/store/write/store_writer.h"
#include "fs/store/write/writer_core.h"

namespace cairn {
namespace {

constexpr std::size_t kPacksTogether = 256;  // retired in one transaction

class Collection {
 public:
  Collection(WriterCore& core, WriterSessions::Number own, const CollectOptions& options)
      : core_(core), own_(own), options_(options), rate_(options.rate) {}

  Result<CollectReport> run() {
    first_unseen_ = core_.sessions.next();
    oldest_active_ = core_.sessions.oldest_but(own_);
    const PackNumber settled = core_.sessions.settled_packs(own_);
    CAIRN_TRY(std::vector<PackRow> rows, core_.index->packs());
    marks_.emplace(std::move(rows), options_.accept_damage);
    CAIRN_CHECK(mark_new_points());
    sort_out(settled);
    fill_report();
    if (options_.dry_run) return report_;
    CAIRN_CHECK(remove_old());
    CAIRN_CHECK(retire_unneeded());
    CAIRN_CHECK(rewrite());
    CAIRN_CHECK(remove_waiting());
    CAIRN_CHECK(core_.index->drop({}));
    report_.memory_bytes = marks_->memory_bytes();
    return report_;
  }

 private:
  Result<void> mark_new_points();
  void sort_out(PackNumber settled);
  void fill_report();
  Result<void> remove_old();
  Result<void> retire_unneeded();
  Result<void> rewrite();
  Result<void> rewrite_batch(std::span<const PackRow*> packs);
  Result<void> settle(std::span<const PackRow* const> retired);
  Result<void> remove_waiting();
  Result<void> remove(std::span<const PackRow* const> packs);
  [[nodiscard]] Result<void> go_on() const {
    if (options_.stop.stop_requested())
      return fail(ErrorCode::cancelled, "reclaim space of", core_.store.places.name(), "it was asked to stop");
    return {};
  }
  void progress(std::uint64_t done, std::uint64_t total) const {
    if (options_.progress) options_.progress(done, total);
  }

  WriterCore& core_;
  WriterSessions::Number own_;
  const CollectOptions& options_;
  RateLimit rate_;
  WriterSessions::Number first_unseen_ = 0;              // sessions from this one on began after marking did
  std::optional<WriterSessions::Number> oldest_active_;  // when marking began
  std::optional<GarbageMarks> marks_;
  std::set<PointName> marked_;
  std::vector<const PackRow*> old_;  // retired by an earlier run, and nothing needs them
  std::vector<const PackRow*> unneeded_;
  std::vector<const PackRow*> to_rewrite_;
  std::vector<const PackRow*> waiting_;  // retired by this run
  CollectReport report_;
};

// All points at first; later those that were committed meanwhile.
Result<void> Collection::mark_new_points() {
  CAIRN_TRY(const auto points, core_.store.points.list_stored());
  MapWalk walk(core_.store.chunks, *core_.index, core_.store.document.chunk_size);
  std::uint64_t done = 0;
  for (const PointName& name : points) {
    CAIRN_CHECK(go_on());
    progress(done++, points.size());
    if (marked_.contains(name)) continue;
    const auto point = core_.store.points.load(name);
    if (!point && point.error().code == ErrorCode::point_missing) continue;  // removed since it was listed
    if (!point && !options_.accept_damage)
      return fail(ErrorCode::collection_blocked, "reclaim space of", core_.store.places.name(),
                  "what the recovery point " + name.text() + " needs is not known: " + point.error().message());
    if (point) {
      CAIRN_CHECK(marks_->add(*point, walk, options_.stop));
    } else {
      log_error("point-given-up", name.text(), point.error());
    }
    marked_.insert(name);
    ++report_.points;
  }
  return {};
}

// `settled`: packs from this number on belong to backups that have not committed yet.
void Collection::sort_out(PackNumber settled) {
  for (const PackRow& pack : marks_->packs()) {
    const std::uint64_t needed = marks_->needed_bytes(pack.number);
    if (pack.number >= settled) continue;
    if (needed == 0 && pack.retired == Retired::unneeded) {
      old_.push_back(&pack);
    } else if (needed == 0) {
      unneeded_.push_back(&pack);
    } else if (pack.retired == Retired::unneeded ||
               (pack.retired == Retired::no &&
                static_cast<double>(needed) <= options_.rewrite_below * static_cast<double>(pack.size))) {
      to_rewrite_.push_back(&pack);
    }
  }
  std::ranges::sort(to_rewrite_, {}, [&](const PackRow* pack) { return marks_->needed_bytes(pack->number); });
}

void Collection::fill_report() {
  report_.needed_chunks = marks_->records();
  report_.missing_chunks = marks_->missing();
  report_.packs_before = marks_->packs().size();
  for (const PackRow& pack : marks_->packs()) {
    report_.bytes_before += pack.size;
    report_.needed_bytes += marks_->needed_bytes(pack.number);
  }
  std::uint64_t going = 0;
  for (const auto* list : {&old_, &unneeded_, &to_rewrite_})
    for (const PackRow* pack : *list) going += pack->size;
  std::uint64_t written = 0;
  for (const PackRow* pack : to_rewrite_) written += marks_->needed_bytes(pack->number);
  const std::uint64_t kept = report_.bytes_before - going + written;
  report_.unneeded_bytes = kept > report_.needed_bytes ? kept - report_.needed_bytes : 0;
  report_.memory_bytes = marks_->memory_bytes();
  if (!options_.dry_run) return;
  report_.removed_packs = old_.size() + unneeded_.size() + to_rewrite_.size();
  report_.rewritten_packs = to_rewrite_.size();
  report_.written_bytes = written;
  report_.freed_bytes = going - std::min(going, written);
}

// Who was active when they were retired has ended, and its points are marked: nothing needs them, and no one counts on
// them. A writer that is active still, and began before that, keeps them.
Result<void> Collection::remove_old() {
  std::vector<const PackRow*> free;
  for (const PackRow* pack : old_) {
    if (!oldest_active_ || *oldest_active_ >= core_.sessions.retired_before(pack->number))
      free.push_back(pack);
    else
      waiting_.push_back(pack);
  }
  return remove(free);
}

Result<void> Collection::retire_unneeded() {
  for (std::size_t first = 0; first < unneeded_.size(); first += kPacksTogether) {
    CAIRN_CHECK(go_on());
    const auto batch =
        std::span<const PackRow* const>(unneeded_).subspan(first, std::min(kPacksTogether, unneeded_.size() - first));
    std::vector<PackNumber> numbers;
    for (const PackRow* pack : batch) numbers.push_back(pack->number);
    CAIRN_CHECK(core_.index->retire(numbers, Retired::unneeded));
    CAIRN_CHECK(settle(batch));
  }
  return {};
}

// What was just retired goes at once when nobody wrote since marking began; else when they are known to have ended.
Result<void> Collection::settle(std::span<const PackRow* const> retired) {
  const WriterSessions::Number now = core_.sessions.next();
  if (!oldest_active_ && now == first_unseen_) return remove(retired);
  std::vector<PackNumber> numbers;
  for (const PackRow* pack : retired) numbers.push_back(pack->number);
  core_.sessions.retired(numbers, now);
  waiting_.insert(waiting_.end(), retired.begin(), retired.end());
  return {};
}

Result<void> Collection::rewrite() {
  for (std::size_t first = 0; first < to_rewrite_.size();) {
    CAIRN_CHECK(go_on());
    // As many as fill one new pack.
    std::size_t end = first;
    std::uint64_t bytes = 0;
    while (end < to_rewrite_.size() &&
           (end == first || bytes + marks_->needed_bytes(to_rewrite_[end]->number) < kPackTargetBytes))
      bytes += marks_->needed_bytes(to_rewrite_[end++]->number);
    CAIRN_CHECK(rewrite_batch(std::span(to_rewrite_).subspan(first, end - first)));
    first = end;
    progress(first, to_rewrite_.size());
  }
  return {};
}

// Opens a record into one buffer and hands it on.
class RewriteReceiver final : public ChunkReceiver {
 public:
  RewriteReceiver(const std::vector<WantedRecord>& wanted, PackBuilder& to) : wanted_(wanted), to_(to) {}
  MutableBytes room(std::size_t, std::size_t bytes) override { return room_in(buffer_, bytes); }
  void opened(std::size_t index) override {
    const WantedRecord& record = wanted_[index];
    append_record(to_,
                  {record.name, record.place.kind, Compress::try_it, ByteView(buffer_).first(record.place.raw_bytes)},
                  compressed_);
  }
  void failed(std::size_t, Error error) override {
    if (!failure) failure = std::move(error);
  }
  std::optional<Error> failure;

 private:
  const std::vector<WantedRecord>& wanted_;
  PackBuilder& to_;
  BulkBuffer buffer_;
  Buffer compressed_;
};

// What is needed of them into one new pack; then they are retired. A pack that cannot be read stays as it is.
Result<void> Collection::rewrite_batch(std::span<const PackRow*> packs) {
  PackBuilder builder(core_.store.keys, core_.store.document.algorithm, core_.store.document.id);
  std::vector<const PackRow*> done;
  std::vector<PackNumber> numbers;
  for (const PackRow* row : packs) {
    const auto copy = [&]() -> Result<void> {
      CAIRN_TRY(const auto pack,
                PackReader::open(*core_.store.backend, row->name, core_.store.keys, core_.store.document.id));
      CAIRN_TRY(const auto records, pack->read_footer());
      std::vector<WantedRecord> wanted;
      for (const PackRecord& record : records)
        if (marks_->needs(row->number, record.place)) wanted.push_back({wanted.size(), 0, record.name, record.place});
      RewriteReceiver receiver(wanted, builder);
      for (const auto run : cut_into_runs(wanted)) {
        pack->read_run(run, receiver);
        std::uint64_t bytes = 0;
        for (const WantedRecord& record : run) bytes += record.place.sealed_bytes;
        CAIRN_CHECK(rate_.take(2 * bytes, options_.stop));
      }
      if (receiver.failure) return pass_on(*receiver.failure);
      return {};
    };
    auto copied = copy();
    if (!copied && copied.error().code == ErrorCode::cancelled) return copied;
    if (!copied) {
      log_error("pack-not-rewritten", row->name, copied.error());
      continue;
    }
    done.push_back(row);
    numbers.push_back(row->number);
  }
  if (done.empty()) return {};
  std::vector<IndexedPack> added;
  if (!builder.empty()) {
    FinishedPack pack = builder.finish();
    const ByteView parts[] = {pack.bytes};
    CAIRN_CHECK(core_.store.backend->put(pack.object(), parts, IfExists::fail));
    report_.written_bytes += pack.bytes.size();
    added.push_back({std::move(pack.name), pack.bytes.size(), std::move(pack.records)});
  }
  CAIRN_CHECK(core_.index->retire(numbers, Retired::unneeded, added));
  report_.rewritten_packs += done.size();
  return settle(done);
}

// Those that waited for writers which have ended by now: what these committed is marked too.
Result<void> Collection::remove_waiting() {
  const auto waits = [&](const PackRow* pack, const std::optional<WriterSessions::Number>& oldest) {
    return oldest && *oldest < core_.sessions.retired_before(pack->number);
  };
  const auto oldest = core_.sessions.oldest_but(own_);
  std::vector<const PackRow*> free;
  std::vector<const PackRow*> kept;
  for (const PackRow* pack : waiting_) (waits(pack, oldest) ? kept : free).push_back(pack);
  if (!free.empty()) {
    std::vector<std::uint64_t> before;
    for (const PackRow* pack : free) before.push_back(marks_->needed_bytes(pack->number));
    CAIRN_CHECK(mark_new_points());
    std::vector<const PackRow*> unneeded;
    // One that a new point needs is rewritten by the next run.
    for (std::size_t i = 0; i < free.size(); ++i)
      (marks_->needed_bytes(free[i]->number) == before[i] ? unneeded : kept).push_back(free[i]);
    CAIRN_CHECK(remove(unneeded));
  }
  for (const PackRow* pack : kept) {
    ++report_.waiting_packs;
    report_.waiting_bytes += pack->size;
  }
  const std::uint64_t written = std::min(report_.written_bytes, report_.freed_bytes);
  report_.freed_bytes -= written;
  return {};
}

Result<void> Collection::remove(std::span<const PackRow* const> packs) {
  for (std::size_t first = 0; first < packs.size(); first += kPacksTogether) {
    CAIRN_CHECK(go_on());
    std::vector<PackNumber> numbers;
    for (const PackRow* pack : packs.subspan(first, std::min(kPacksTogether, packs.size() - first))) {
      // Files first: a crash between the two leaves packs that are retired and not there, which the next writer
      // forgets.
      auto removed = core_.store.backend->remove(pack_object(pack->name));
      if (!removed && removed.error().code != ErrorCode::object_missing) return removed;
      core_.store.packs.drop(pack->name);
      numbers.push_back(pack->number);
      ++report_.removed_packs;
      report_.freed_bytes += pack->size;
    }
    CAIRN_CHECK(core_.index->drop(numbers, Index::Tidy::later));
    core_.sessions.removed(numbers);
  }
  return {};
}

}  // namespace

Result<CollectReport> collect_garbage(StoreWriter& writer, const CollectOptions& options) {
  WriterCore& core = writer.core();
  CAIRN_TRY(const auto turn,
            core.collecting.take("another garbage collection", "reclaim space of", core.store.places.name()));
  CAIRN_CHECK(core.sink.flush());
  // A removal whose last step failed may not last: the point would be back, and its chunks gone.
  if (!options.dry_run) CAIRN_CHECK(core.store.backend->settle(kPointsPrefix));
  return Collection(core, writer.session(), options).run();
}

Result<bool> garbage_waiting(Store& store) {
  CAIRN_TRY(const auto index, store.index().get());
  return index->has_retired(Retired::unneeded);
}

}  // namespace cairn
