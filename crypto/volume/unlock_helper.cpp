// SPDX-License-Identifier: GPL-3.0-or-later
// Key derivation in a helper process. unlock_copy.h.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/base/json.h"
#include "config/base/units.h"
#include "crypto/helper_end.h"
#include "crypto/helper_process.h"
#include "crypto/volume/unlock_copy.h"

namespace cairn {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestTalk = 1 * kMiB;    // of JSON, each way
constexpr std::size_t kLongestSecret = 9 * kMiB;  // a key file may have 8
constexpr std::size_t kLongestVolumeKey = 4 * kKiB;
// What the processor may really take: what a slot asks for is counted in seconds of an ordinary core, hashes differ,
// and hosts do.
constexpr unsigned kSlower = 4;
constexpr unsigned kAnyway = 30;  // seconds

// One volume at a time, so that the memory that one saw to be available is not another's by then.
class Turn {
 public:
  // False: told to stop before it came.
  bool wait(const std::stop_token& stop) {
    std::unique_lock lock(mutex());
    have_ = is_free().wait(lock, stop, [] { return !taken(); });
    if (have_) taken() = true;
    return have_;
  }
  Turn() = default;
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    if (!have_) return;
    {
      const std::lock_guard lock(mutex());
      taken() = false;
    }
    is_free().notify_one();
  }

 private:
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static std::condition_variable_any& is_free() {
    static std::condition_variable_any one;
    return one;
  }
  static bool& taken() {
    static bool one = false;
    return one;
  }
  bool have_ = false;
};

unsigned processor_seconds(const UnlockLimits& limits) {
  const double left = limits.left != nullptr ? std::min<double>(limits.seconds, *limits.left) : limits.seconds;
  return kSlower * static_cast<unsigned>(std::max(0.0, left)) + kAnyway;
}

json question_of(const VolumeFacts& facts, BekType type, const std::string& object, const UnlockLimits& limits) {
  json slots = json::array();
  for (const KeySlotFacts& slot : facts.slots) slots.push_back({{"number", slot.number}, {"kind", slot.kind}});
  json question{{"type", to_string(facts.type)},
                {"partition", facts.partition},
                {"size", facts.place.size},
                {"detached", facts.detached},
                {"damage", facts.damage},
                {"slots", slots},
                {"bek_type", to_string(type)},
                {"object", object},
                {"seconds", limits.seconds},
                {"memory_bytes", limits.memory_bytes},
                {"first_slot", limits.first_slot},
                {"slot_seconds", limits.slot_seconds},
                {"processor_seconds", processor_seconds(limits)}};
  if (limits.left != nullptr) question["left"] = *limits.left;
  return question;
}

Buffer head_of(std::size_t text, std::size_t secret) {
  Buffer head;
  append_le(head, static_cast<std::uint32_t>(text));
  append_le(head, static_cast<std::uint32_t>(secret));
  return head;
}

json error_json(const Error& error) {
  return {{"name", error.name()},     {"doing", error.doing},        {"object", error.object},
          {"because", error.because}, {"os_error", error.sys_errno}, {"resolution", error.resolution}};
}

Error error_of(const json& document) {
  const CatalogueEntry* const entry = find_catalogue_entry(document.at("name").get<std::string>());
  return Error{entry != nullptr ? entry->code : ErrorCode::internal,
               document.at("doing").get<std::string>(),
               document.at("object").get<std::string>(),
               document.at("because").get<std::string>(),
               whole_number<int>(document.at("os_error")),
               document.at("resolution").get<std::string>()};
}

struct Answer {
  json document;
  SecretBytes key;
};

Result<Answer> ask(const VolumeFacts& facts, const HeaderCopy& copy, BekType type, const SecretBytes& bek,
                   const std::string& object, const UnlockLimits& limits) {
  const std::string doing = fmt::format("unlock the {} volume", to_string(facts.type));
  const unsigned seconds = processor_seconds(limits);
  CAIRN_TRY(HelperProcess helper, HelperProcess::start({kUnlockWork, doing, object, copy.fd(),
                                                        std::chrono::seconds(10 * seconds), limits.stop}));
  const auto talk = [&]() -> Result<Answer> {
    const std::string question = json_text(question_of(facts, type, object, limits));
    CAIRN_CHECK(helper.send(head_of(question.size(), bek.size())));
    CAIRN_CHECK(helper.send(as_bytes(question)));
    CAIRN_CHECK(helper.send(bek.reveal()));
    std::array<std::uint8_t, 8> head{};
    CAIRN_CHECK(helper.receive(head));
    const auto text_size = get_le<std::uint32_t>(head);
    const auto key_size = get_le<std::uint32_t>(ByteView(head).subspan(4));
    if (text_size > kLongestTalk || key_size > kLongestVolumeKey)
      return fail(ErrorCode::helper_failed, doing, object, "its answer is too long");
    Buffer text(text_size);
    Answer answer{{}, SecretBytes(key_size)};
    CAIRN_CHECK(helper.receive(text));
    CAIRN_CHECK(helper.receive(answer.key.reveal()));
    auto document = parse_json(as_text(text), {kLongestTalk, 8});
    if (!document) return fail(ErrorCode::helper_failed, doing, object, "its answer " + document.error().text());
    answer.document = *std::move(document);
    return answer;
  };
  auto answer = talk();
  if (!answer && helper.used_up_its_time()) {
    if (limits.left != nullptr) *limits.left = 0;
    return fail(ErrorCode::header_damaged, doing, object,
                fmt::format("key derivation took more than {} s of the processor, and was ended", seconds));
  }
  return answer;
}

}  // namespace

Result<UnlockedVolume> unlock_in_helper(const VolumeFacts& facts, const HeaderCopy& copy, BekType type,
                                        const SecretBytes& bek, const std::string& object, const UnlockLimits& limits) {
  Turn turn;
  if (!turn.wait(limits.stop))
    return fail(ErrorCode::cancelled, fmt::format("unlock the {} volume", to_string(facts.type)), object,
                "it was asked to stop");
  CAIRN_TRY(Answer answer, ask(facts, copy, type, bek, object, limits));
  return read_document(
      [&]() -> Result<UnlockedVolume> {
        if (limits.left != nullptr) *limits.left = answer.document.at("left").get<double>();
        if (answer.document.contains("error")) return pass_on(error_of(answer.document.at("error")));
        return UnlockedVolume{whole_number<int>(answer.document.at("slot")), std::move(answer.key)};
      },
      [&](std::string because) -> Result<UnlockedVolume> {
        return fail(ErrorCode::helper_failed, "unlock", object, "its answer makes no sense: " + because);
      });
}

void answer_unlock() {
  std::array<std::uint8_t, 8> head{};
  helper_receive(head);
  const auto text_size = get_le<std::uint32_t>(head);
  const auto bek_size = get_le<std::uint32_t>(ByteView(head).subspan(4));
  if (text_size > kLongestTalk || bek_size > kLongestSecret) end_helper(1);
  Buffer text(text_size);
  SecretBytes bek(bek_size);
  helper_receive(text);
  helper_receive(bek.reveal());
  const auto document = parse_json(as_text(text), {kLongestTalk, 8});
  if (!document) end_helper(1);
  json answer = json::object();
  SecretBytes key;
  const auto problem = problem_of_reading([&] {
    const json& question = *document;
    VolumeFacts facts;
    facts.type = parse_volume_type(question.at("type").get<std::string>()).value();
    facts.partition = whole_number<unsigned>(question.at("partition"));
    facts.place = {0, whole_number<std::uint64_t>(question.at("size"))};
    facts.detached = question.at("detached").get<std::string>();
    facts.damage = question.at("damage").get<std::string>();
    for (const json& slot : question.at("slots"))
      facts.slots.push_back({whole_number<int>(slot.at("number")), slot.at("kind").get<std::string>()});
    const BekType type = parse_bek_type(question.at("bek_type").get<std::string>()).value();
    const std::string object = question.at("object").get<std::string>();
    UnlockLimits limits;
    limits.seconds = whole_number<unsigned>(question.at("seconds"));
    limits.memory_bytes = whole_number<std::uint64_t>(question.at("memory_bytes"));
    limits.first_slot = whole_number<int>(question.at("first_slot"));
    limits.slot_seconds = question.at("slot_seconds").get<double>();
    const double left_before = question.value("left", 0.0);
    double left = left_before;
    if (question.contains("left")) limits.left = &left;
    limit_processor(whole_number<unsigned>(question.at("processor_seconds")));
    HeaderCopy copy = HeaderCopy::adopt(UniqueFd(kHelperExtraFd), object);
    auto unlocked = unlock_copy(facts, copy, type, bek, object, limits);
    rusage used{};
    static_cast<void>(getrusage(RUSAGE_SELF, &used));
    // Where the estimate was far too low, what it really took counts.
    const double really = static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) / kSlower;
    answer["left"] = std::min(left, left_before - really);
    if (unlocked) {
      answer["slot"] = unlocked->slot;
      key = std::move(unlocked->volume_key);
    } else {
      answer["error"] = error_json(unlocked.error());
    }
  });
  if (problem) end_helper(1);
  const std::string said = json_text(answer);
  helper_send(head_of(said.size(), key.size()));
  helper_send(as_bytes(said));
  helper_send(key.reveal());
}

}  // namespace cairn
