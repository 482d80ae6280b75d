// SPDX-License-Identifier: GPL-3.0-or-later
// BudgetedSource: one budget for all that is read of a disk, and for the time of the processor, while it is looked for
// volumes. Whoever rules a guest writes its partition tables and headers, and many small ones would add up without it.
// Key derivation is not part of it: its limits are unlock.h's. One thread.
#pragma once

#include <cstdint>

#include "config/base/byte_source.h"

namespace cairn {

struct ProbeLimits {
  std::uint64_t bytes = 256ULL * 1024 * 1024;  // read; what is kept of them at a time is less
  std::uint64_t processor_ms = 2000;           // of this thread; waiting for a slow disk does not count
};

class BudgetedSource final : public ByteSource {
 public:
  BudgetedSource(ByteSource& disk, const ProbeLimits& limits);
  [[nodiscard]] std::uint64_t size() const override { return disk_.size(); }
  [[nodiscard]] unsigned sector_bytes() const override { return disk_.sector_bytes(); }
  // Errors: those of the disk; io_error when the budget is spent.
  Result<void> read(std::uint64_t offset, MutableBytes to) override;
  // Whether it is, from some moment on for ever.
  [[nodiscard]] bool is_spent();

 private:
  ByteSource& disk_;
  const ProbeLimits limits_;
  const std::uint64_t began_ms_;
  std::uint64_t bytes_ = 0;
  bool spent_ = false;
};

}  // namespace cairn
