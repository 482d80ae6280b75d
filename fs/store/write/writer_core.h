// SPDX-License-Identifier: GPL-3.0-or-later
// WriterCore: what all writers of one Store object share: the lock, the index, the sink for new records, who is writing
// at the moment, and who moves packs. Internal to fs/store. Any thread.
#pragma once

#include <memory>
#include <string>

#include "config/base/guarded.h"
#include "fs/store/store_state.h"
#include "fs/store/write/record_sink.h"
#include "fs/store/write/store_writer.h"
#include "fs/store/write/writer_sessions.h"
#include "fs/store/writer_lock.h"

namespace cairn {

// Whose turn it is to take packs away or to give them other numbers: one collection or repair at a time. Only ever
// tried, for both take long, and what is not done now the next one does.
class CollectingLock {
 public:
  class Held {
   public:
    Held(Held&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    Held& operator=(Held&&) = delete;
    ~Held();

   private:
    friend class CollectingLock;
    explicit Held(CollectingLock* of) : of_(of) {}
    CollectingLock* of_;
  };
  // `holder` is what the error of others names: "a repair". The lock must outlive what it gives.
  // Errors: job_conflict, which says who has it. `doing`, `store`: for that error.
  Result<Held> take(const char* holder, const char* doing, const std::string& store);

 private:
  Guarded<std::string> holder_;  // empty: it is free
};

struct WriterCore {
  StoreState& store;
  WriterLock lock;
  std::shared_ptr<Index> index;
  const PackFindings findings;
  WriterSessions sessions;
  CollectingLock collecting;
  RecordSink sink;

  WriterCore(StoreState& of, WriterLock taken, std::shared_ptr<Index> store_index, PackFindings found);
  ~WriterCore();
  WriterCore(const WriterCore&) = delete;
  WriterCore& operator=(const WriterCore&) = delete;
};

// The one that there is, or a new one with the writer lock. Errors: as begin_writing().
Result<std::shared_ptr<WriterCore>> writer_core_of(StoreState& state, const std::string& purpose);

}  // namespace cairn
