// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/faults/scene.h"

#include <unistd.h>

#include <algorithm>

#include "config/base/units.h"
#include "fs/store/write/ingest.h"
#include "fs/store/write/store_writer.h"

namespace cairn::faults {
namespace {

constexpr std::uint64_t kDiskBytes = 1 * kMiB + 200 * kKiB + 77;  // ends within a chunk
constexpr std::array<std::uint8_t, 32> kKey{7, 7, 7};

unsigned number_of(const std::string& machine) {
  unsigned number = 0;
  for (const char letter : machine) number = number * 31 + static_cast<unsigned char>(letter);
  return number;
}

std::string described(const Error& error) {
  return std::string(error.name()) + ": " + error.message();
}

// A disk read in steps of a chunk: those that cannot be read, and why the first of them cannot.
struct ReadInSteps {
  std::vector<ByteRange> unreadable;
  std::string because;
  bool wrong = false;
};

ReadInSteps read_in_steps(DiskReader& disk, const Buffer& bytes) {
  ReadInSteps read;
  for (std::uint64_t at = 0; at < bytes.size(); at += kMinChunkSize) {
    Buffer step(std::min<std::uint64_t>(kMinChunkSize, bytes.size() - at));
    const auto got = disk.read(at, step);
    if (!got) {
      if (read.unreadable.empty()) read.because = described(got.error());
      read.unreadable.push_back({at, step.size()});
    } else if (*got != step.size() || !std::ranges::equal(step, ByteView(bytes).subspan(at, step.size()))) {
      read.wrong = true;
    }
  }
  return read;
}

}  // namespace

MemoryImage disk_image(const std::string& machine, unsigned generation) {
  const unsigned base = number_of(machine);
  MemoryImage image(kDiskBytes);
  image.fill_random(0, 5 * 64 * kKiB, base);
  image.fill_random(1 * kMiB, 200 * kKiB + 77, base + 1);
  // What compresses, and a hole in the middle.
  Buffer text(64 * kKiB);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::uint8_t>("cairn\n"[i % 6]);
  image.write(8 * 64 * kKiB, text);
  for (unsigned past = 1; past <= generation; ++past)
    image.fill_random((past * 5 % 18) * 64 * kKiB + past * 512, 70 * kKiB, base * 1000 + past);
  return image;
}

void copy_tree(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::create_directories(to.parent_path());
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
}

std::filesystem::path scratch_parent() {
  const std::filesystem::path memory = "/dev/shm";
  if (::access(memory.c_str(), W_OK) == 0) return memory;
  return std::filesystem::temp_directory_path();
}

const NewKeySlot& Scene::first_slot() {
  static const NewKeySlot slot = [] {
    NewKeySlot made;
    made.label = "first";
    made.secret = SecretBytes::copy_of(kKey);
    return made;
  }();
  return slot;
}

UnlockKey Scene::key() {
  return {KeySlotType::key_file, SecretBytes::copy_of(kKey), "the scene's key"};
}

Scene Scene::at(std::filesystem::path root, Truth truth) const {
  Scene other(std::move(root));
  other.truth_ = truth;
  other.at_start_ = std::move(truth);
  return other;
}

void Scene::set_watch(const Watch* watch) {
  watch_ = watch;
  at_start_ = truth_;
  changes_.clear();
}

void Scene::promise(const std::string& point, PointTruth now) {
  changes_.push_back({watch_ != nullptr ? watch_->position() : 0, point, now});
  truth_[point] = std::move(now);
}

void Scene::promise(const std::string& point, Standing standing) {
  PointTruth now = truth_[point];
  now.standing = standing;
  promise(point, std::move(now));
}

Truth Scene::truth_after(std::size_t operations) const {
  Truth then = at_start_;
  for (const TruthChange& change : changes_)
    if (change.position <= operations) then[change.point] = change.now;
  return then;
}

Result<void> Scene::back_up(Store& store, const std::string& machine, unsigned generation, int second) {
  MemoryImage image = disk_image(machine, generation);
  RecoveryPoint point;
  point.name = {machine, test_time(second)};
  PointTruth truth;
  truth.disks["root"] = std::make_shared<const Buffer>(image.content(0, image.size()));
  promise(point.name.text(), truth);
  CAIRN_TRY(const auto writer, begin_writing(store, "faults"));
  IngestOptions options;
  options.workers = 1;
  CAIRN_TRY(const IngestReport report, ingest_disk(*writer, image, options));
  point.disks.push_back({"root", report.map, {}, {}});
  CAIRN_CHECK(writer->commit(point));
  promise(point.name.text(), Standing::must);
  return {};
}

void Scene::admit_damage() {
  const auto store = value_of(open());
  const Truth before = truth_;
  for (const auto& [text, truth] : before) {
    if (truth.disks.empty()) continue;
    PointTruth now = truth;
    const auto point = store->points().load(*PointName::parse(text));
    now.opens = point.has_value();
    for (const auto& [disk, bytes] : truth.disks) {
      if (!point) break;  // what was admitted before its file was damaged stays
      const auto record = std::ranges::find(point->disks, disk, &DiskRecord::name);
      now.unreadable[disk] = read_in_steps(*store->open_disk(record->map, text), *bytes).unreadable;
    }
    promise(text, std::move(now));
  }
}

void Scene::promise_whole(const std::string& point) {
  const Truth before = truth_;
  for (const auto& [text, truth] : before) {
    if (!point.empty() && text != point) continue;
    PointTruth now = truth;
    now.unreadable.clear();
    now.opens = true;
    promise(text, std::move(now));
  }
}

void Scene::check_points(CaseResult& result) const {
  const auto store = open();
  if (!store) {
    const bool promised =
        std::ranges::any_of(truth_, [](const auto& p) { return p.second.standing == Standing::must; });
    result.add(promised ? Verdict::lost : Verdict::other, "the store cannot be opened: " + described(store.error()));
    return;
  }
  check_points(**store, result);
}

void Scene::check_points(Store& store, CaseResult& result) const {
  const auto listed = store.points().list();
  if (!listed) {
    result.add(Verdict::lost, "points cannot be listed: " + described(listed.error()));
    return;
  }
  std::map<std::string, PointName> names;
  for (const PointName& name : *listed) names[name.text()] = name;
  for (const auto& [text, truth] : truth_)
    if (truth.standing == Standing::must && !names.contains(text)) result.add(Verdict::lost, text + " is not listed");
  for (const auto& [text, name] : names) {
    ++result.points;
    const auto promised = truth_.find(text);
    if (promised == truth_.end()) {
      result.add(Verdict::other, text + " is listed and nobody made it");
      continue;
    }
    const PointTruth& truth = promised->second;
    if (truth.standing == Standing::hidden) result.add(Verdict::other, text + " is listed though it was removed");
    const auto point = store.points().load(name);
    if (!point && !truth.opens) continue;
    if (!point) {
      result.add(Verdict::lost, text + " is listed and cannot be opened: " + described(point.error()));
      continue;
    }
    for (const auto& [disk, bytes] : truth.disks) {
      const auto record = std::ranges::find(point->disks, disk, &DiskRecord::name);
      if (record == point->disks.end() || record->map.size != bytes->size()) {
        result.add(Verdict::wrong, text + " has not the disk it should have");
        continue;
      }
      const ReadInSteps read = read_in_steps(*store.open_disk(record->map, text), *bytes);
      if (read.wrong) result.add(Verdict::wrong, text + " has other bytes");
      const auto admitted = truth.unreadable.find(disk);
      for (const ByteRange& range : read.unreadable)
        if (admitted == truth.unreadable.end() || std::ranges::find(admitted->second, range) == admitted->second.end())
          result.add(Verdict::lost, text + " cannot be read: " + read.because);
    }
  }
}

}  // namespace cairn::faults
