// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/write/ingest.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <thread>

#include "config/base/exception_door.h"
#include "config/base/guarded.h"
#include "config/base/units.h"
#include "fs/store/map/disk_map.h"
#include "fs/store/write/carry_over.h"
#include "fs/store/write/record_sink.h"
#include "fs/store/write/store_writer.h"
#include "fs/store/write/writer_core.h"

namespace cairn {
namespace {

constexpr std::uint64_t kBlockBytes = kMiB;
constexpr unsigned kMaxWorkers = 4;  // bounds the memory; a disk is not faster than this many
constexpr unsigned kReaders = 6;     // reads under way at once; they wait for the disk and cost next to no CPU
constexpr std::size_t kBuffersPerThread = 2;

// The names of one leaf while its blocks are on their way.
struct Leaf {
  std::uint64_t index = 0;
  std::vector<ChunkName> names;
  std::atomic<unsigned> open_parts = 1;  // the reader's share, and one a block
};

// Some neighbouring chunks.
struct Piece {
  std::uint64_t offset = 0;  // bytes, a multiple of the chunk size
  std::size_t size = 0;      // bytes
};

// Pieces of one leaf, in order: as many as fill a buffer, so that handing chunks that lie scattered from thread to
// thread costs no more than handing on a run of them.
struct Block {
  std::vector<Piece> pieces;
  std::size_t size = 0;  // bytes, of all pieces
  BulkBuffer buffer;     // the pieces' bytes, one after the other
  std::shared_ptr<Leaf> leaf;
};

class Ingest {
 public:
  Ingest(RecordSink& sink, const ChunkNamer& namer, std::uint32_t chunk_size, ImageReader& image,
         const IngestOptions& options, CarryOver* carry_over)
      : sink_(sink),
        namer_(namer),
        image_(image),
        options_(options),
        carry_over_(carry_over),
        geometry_(image.size(), chunk_size),
        block_bytes_(std::max<std::uint64_t>(kBlockBytes, chunk_size)),
        workers_(options.workers != 0 ? options.workers
                                      : std::clamp(std::thread::hardware_concurrency(), 1U, kMaxWorkers)),
        readers_(workers_ == 1 ? 1 : kReaders) {
    work_.lock()->free_buffers.resize((workers_ + readers_) * kBuffersPerThread);
  }

  Result<IngestReport> run() {
    {
      std::vector<std::jthread> workers;
      if (auto outcome = read_with(workers); !outcome) set_failure(std::move(outcome).error());
      work_.lock()->reading_done = true;
      block_ready_.notify_all();
    }
    if (const auto work = work_.lock(); work->failure) return pass_on(*work->failure);
    if (const auto leaf = std::exchange(plan_.lock()->leaf, nullptr)) CAIRN_CHECK(leave(leaf, 0));
    CAIRN_CHECK(count_carried());
    CAIRN_CHECK(store_upper_levels());
    return work_.lock()->report;
  }

 private:
  [[nodiscard]] bool stopped() { return work_.lock()->failure.has_value(); }
  void set_failure(Error error) {
    const auto work = work_.lock();
    if (!work->failure) work->failure = std::move(error);
    block_ready_.notify_all();
    buffer_freed_.notify_all();
  }
  void advance(std::uint64_t bytes) const {
    if (options_.progress) options_.progress(bytes);
  }

  // How the disk is shared out among the readers.
  struct Plan {
    std::uint64_t offset = 0;  // so far; a multiple of the chunk size, or the end
    std::shared_ptr<Leaf> leaf;
  };
  // What readers and workers hand to each other, and what has come of it.
  struct Work {
    std::deque<Block> queue;
    std::vector<BulkBuffer> free_buffers;
    bool reading_done = false;
    std::optional<Error> failure;
    IngestReport report;
    std::map<std::uint64_t, ChunkName> leaf_names;  // those that are not zero
  };

  // --- the readers' side; this thread is one of them
  // The door where this thread's exceptions end: the workers must hear that reading is done.
  Result<void> read_with(std::vector<std::jthread>& workers) {
    return without_exceptions("back up", "the disk", [&] {
      for (unsigned i = 0; i < workers_; ++i) workers.emplace_back([this, i] { work(i); });
      std::vector<std::jthread> others;
      for (unsigned i = 1; i < readers_; ++i)
        others.emplace_back([this] { static_cast<void>(read_safely().has_value()); });
      return read_safely();
    });
  }
  // The door where a reader's exceptions end.
  Result<void> read_safely() {
    auto outcome = without_exceptions("back up", "the disk", [&] { return read_image(); });
    if (!outcome) set_failure(outcome.error());
    return outcome;
  }
  Result<void> read_image();
  Result<std::optional<Block>> next_block();
  Result<void> enter_leaf(Plan& plan, std::uint64_t index);
  Result<void> carry(Plan& plan, std::uint64_t offset, std::uint64_t end);
  Result<void> count_carried();

  // --- the workers' side
  void work(unsigned worker);
  Result<void> process_safely(Block& block, unsigned worker);
  Result<void> process(Block& block, unsigned worker);
  Result<void> leave(const std::shared_ptr<Leaf>& leaf, unsigned worker);
  Result<ChunkName> store_node(const MapNode& node, unsigned lane);
  Result<void> store_upper_levels();
  void count(const SinkCount& more) {
    const auto work = work_.lock();
    work->report.new_bytes += more.new_bytes;
    work->report.stored_bytes += more.stored_bytes;
  }
  [[nodiscard]] bool is_ciphertext(ByteOffset offset, ByteCount size) const;

  RecordSink& sink_;
  const ChunkNamer& namer_;
  ImageReader& image_;
  const IngestOptions& options_;
  CarryOver* carry_over_;
  MapGeometry geometry_;
  std::uint64_t block_bytes_;
  unsigned workers_;
  unsigned readers_;

  Guarded<Plan> plan_;  // locked before `work_`
  Guarded<Work> work_;
  std::condition_variable block_ready_;   // or reading done, or failed: for the workers
  std::condition_variable buffer_freed_;  // or failed: for the readers
};

Result<void> Ingest::enter_leaf(Plan& plan, std::uint64_t index) {
  if (plan.leaf && plan.leaf->index == index) return {};
  if (plan.leaf) CAIRN_CHECK(leave(std::exchange(plan.leaf, nullptr), 0));
  plan.leaf = std::make_shared<Leaf>();
  plan.leaf->index = index;
  plan.leaf->names.resize(geometry_.name_count(0, index));
  return {};
}

// Takes chunks over from the earlier point.
Result<void> Ingest::carry(Plan& plan, std::uint64_t offset, std::uint64_t end) {
  advance(end - offset);
  return carry_over_->carry(
      offset, end, [&](std::uint64_t leaf, std::size_t first, std::span<const ChunkName> names) -> Result<void> {
        CAIRN_CHECK(enter_leaf(plan, leaf));
        // Workers fill in other chunks of this leaf meanwhile.
        std::copy(names.begin(), names.end(), plan.leaf->names.begin() + static_cast<std::ptrdiff_t>(first));
        return {};
      });
}

Result<void> Ingest::count_carried() {
  if (carry_over_ == nullptr) return {};
  CAIRN_TRY(const std::uint64_t data_bytes, carry_over_->data_bytes());
  const auto work = work_.lock();
  work->report.map.data_bytes += data_bytes;
  work->report.carried_bytes = carry_over_->carried_bytes();
  return {};
}

// The next pieces of the disk that must be read; nothing at its end. Passes over holes and what is as before. The plan
// is held while extents are asked for and nodes of the earlier point are read: nobody can go on before that is known.
Result<std::optional<Block>> Ingest::next_block() {
  const auto plan = plan_.lock();
  const std::uint64_t size = geometry_.size();
  const std::uint64_t chunk = geometry_.chunk_size();
  std::optional<Block> block;
  while (plan->offset < size) {
    if (options_.stop.stop_requested()) return fail(ErrorCode::cancelled, "back up", "the disk", "it was cancelled");
    CAIRN_TRY(const ImageExtent extent, image_.extent_at(plan->offset));
    const std::uint64_t extent_end = extent.offset + extent.size;
    CAIRN_ASSERT(extent.offset <= plan->offset && extent_end > plan->offset);
    if (extent.kind == ExtentKind::as_before) {
      CAIRN_ASSERT(carry_over_ != nullptr);
      if (const std::uint64_t end = carry_over_->end_of(plan->offset, extent_end); end > plan->offset) {
        CAIRN_CHECK(carry(*plan, plan->offset, end));
        plan->offset = end;
        continue;
      }
    }
    if (extent.kind == ExtentKind::hole) {
      const std::uint64_t end = extent_end >= size ? size : extent_end / chunk * chunk;
      if (end > plan->offset) {
        advance(end - plan->offset);
        plan->offset = end;
        continue;
      }
    }
    // A chunk that is partly a hole, or partly as before, is read whole.
    const std::uint64_t data_end = std::min(size, (extent_end + chunk - 1) / chunk * chunk);
    const std::uint64_t leaf = plan->offset / chunk / kNodeNames;
    if (block && leaf != block->leaf->index) break;
    if (!block) {
      CAIRN_CHECK(enter_leaf(*plan, leaf));
      block.emplace().leaf = plan->leaf;
      block->leaf->open_parts.fetch_add(1);
    }
    const std::uint64_t end = std::min(
        {data_end, (plan->offset / block_bytes_ + 1) * block_bytes_, plan->offset + block_bytes_ - block->size});
    block->pieces.push_back({plan->offset, static_cast<std::size_t>(end - plan->offset)});
    block->size += end - plan->offset;
    plan->offset = end;
    if (block->size == block_bytes_) break;
  }
  return block;
}

Result<void> Ingest::read_image() {
  for (;;) {
    BulkBuffer buffer;
    {
      auto work = work_.lock();
      buffer_freed_.wait(work.held(), [&] { return work->failure || !work->free_buffers.empty(); });
      if (work->failure) return pass_on(*work->failure);
      buffer = std::move(work->free_buffers.back());
      work->free_buffers.pop_back();
    }
    CAIRN_TRY(std::optional<Block> block, next_block());
    if (!block) return {};
    buffer.resize(block_bytes_);
    block->buffer = std::move(buffer);
    MutableBytes room(block->buffer);
    for (const Piece& piece : block->pieces) {
      CAIRN_CHECK(image_.read(piece.offset, room.first(piece.size)));
      room = room.subspan(piece.size);
    }
    const auto work = work_.lock();
    work->report.read_bytes += block->size;
    work->queue.push_back(*std::move(block));
    block_ready_.notify_one();
  }
}

void Ingest::work(unsigned worker) {
  auto work = work_.lock();
  for (;;) {
    block_ready_.wait(work.held(), [&] { return work->failure || work->reading_done || !work->queue.empty(); });
    if (work->failure || work->queue.empty()) return;
    Block block = std::move(work->queue.front());
    work->queue.pop_front();
    work.held().unlock();
    auto outcome = process_safely(block, worker);
    if (!outcome) set_failure(std::move(outcome).error());
    advance(block.size);
    work.held().lock();
    work->free_buffers.push_back(std::move(block.buffer));
    buffer_freed_.notify_one();
  }
}

// The door where a worker's exceptions end.
Result<void> Ingest::process_safely(Block& block, unsigned worker) {
  return without_exceptions("back up", "the disk", [&]() -> Result<void> {
    CAIRN_CHECK(process(block, worker));
    return leave(block.leaf, worker);
  });
}

Result<void> Ingest::process(Block& block, unsigned worker) {
  const std::uint32_t chunk = geometry_.chunk_size();
  ByteView bytes = ByteView(block.buffer).first(block.size);
  thread_local std::vector<NewRecord> records;  // allocated once a thread
  records.clear();
  std::uint64_t data_bytes = 0;
  for (const Piece& piece : block.pieces) {
    for (std::size_t at = 0; at < piece.size; at += chunk) {
      const ByteView content = bytes.subspan(at, std::min<std::size_t>(chunk, piece.size - at));
      if (is_all_zero(content)) continue;
      const std::uint64_t offset = piece.offset + at;
      const ChunkName name = namer_.name(RecordKind::chunk, content);
      block.leaf->names[offset / chunk % kNodeNames] = name;
      data_bytes += content.size();
      const Compress compress =
          is_ciphertext(ByteOffset(offset), ByteCount(content.size())) ? Compress::never : Compress::try_it;
      records.push_back({name, RecordKind::chunk, compress, content});
    }
    bytes = bytes.subspan(piece.size);
  }
  CAIRN_TRY(const SinkCount stored, sink_.store(records, worker));
  count(stored);
  work_.lock()->report.map.data_bytes += data_bytes;
  return {};
}

// Whoever leaves last makes the node.
Result<void> Ingest::leave(const std::shared_ptr<Leaf>& leaf, unsigned worker) {
  if (leaf->open_parts.fetch_sub(1) != 1) return {};
  const MapNode node{0, std::move(leaf->names)};
  if (node.is_zero()) return {};
  CAIRN_TRY(const ChunkName name, store_node(node, worker));
  work_.lock()->leaf_names[leaf->index] = name;
  return {};
}

Result<ChunkName> Ingest::store_node(const MapNode& node, unsigned lane) {
  const Buffer bytes = encode_node(node);
  const NewRecord record{namer_.name(RecordKind::node, bytes), RecordKind::node, Compress::try_it, bytes};
  CAIRN_TRY(const SinkCount stored, sink_.store({&record, 1}, lane));
  count({0, stored.stored_bytes});  // "new bytes" are the disk's own
  return record.name;
}

Result<void> Ingest::store_upper_levels() {
  std::map<std::uint64_t, ChunkName> below;
  {
    const auto work = work_.lock();
    work->report.map.size = geometry_.size();
    below = std::move(work->leaf_names);
  }
  if (carry_over_ != nullptr) below.insert(carry_over_->nodes(0).begin(), carry_over_->nodes(0).end());
  for (unsigned level = 1; level <= geometry_.root_level(); ++level) {
    std::map<std::uint64_t, ChunkName> here;
    if (carry_over_ != nullptr) here = carry_over_->nodes(level);
    for (auto child = below.begin(); child != below.end();) {
      const std::uint64_t index = child->first / kNodeNames;
      MapNode node{level, std::vector<ChunkName>(geometry_.name_count(level, index))};
      for (; child != below.end() && child->first / kNodeNames == index; ++child)
        node.names[child->first % kNodeNames] = child->second;
      CAIRN_TRY(here[index], store_node(node, 0));
    }
    below = std::move(here);
  }
  if (!below.empty()) work_.lock()->report.map.root = below.begin()->second;
  return {};
}

bool Ingest::is_ciphertext(ByteOffset offset, ByteCount size) const {
  const auto after = std::upper_bound(options_.ciphertext.begin(), options_.ciphertext.end(), offset.from_start(),
                                      [](std::uint64_t at, const ByteRange& range) { return at < range.offset; });
  if (after == options_.ciphertext.begin()) return false;
  const ByteRange& range = *std::prev(after);
  return offset + size <= ByteOffset(range.offset) + ByteCount(range.size);
}

}  // namespace

Result<IngestReport> ingest_disk(StoreWriter& writer, ImageReader& image, const IngestOptions& options) {
  WriterCore& core = writer.core();
  const std::uint32_t chunk_size = core.store.document.chunk_size;
  std::optional<CarryOver> carry_over;
  if (options.base) carry_over.emplace(*options.base->source, options.base->map, image.size(), chunk_size);
  return Ingest(core.sink, core.store.keys.namer(), chunk_size, image, options, carry_over ? &*carry_over : nullptr)
      .run();
}

}  // namespace cairn
