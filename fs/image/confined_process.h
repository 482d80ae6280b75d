// SPDX-License-Identifier: GPL-3.0-or-later
// ConfinedProcess: a tool that reads what strangers wrote (QEMU's, on disk images), started so that it can do little
// else: it can open the files that it is given and what is below /usr, and write nothing (Landlock, where the kernel
// has it); it has no capabilities but, when it must, CAP_DAC_READ_SEARCH, and can gain none; its memory is bounded, its
// environment is ours; and it ends when the thread that started it does, however that ends. One thread at a time.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "config/base/result.h"
#include "config/base/unique_fd.h"

namespace cairn {

struct ConfinedCommand {
  std::string tool;                // "qemu-nbd": of /usr/bin
  std::vector<std::string> words;  // after the tool's name
  std::vector<int> files = {};     // what it may open, as given_file(0), given_file(1), ...; borrowed
  bool files_of_others = false;    // some are not ours: it needs CAP_DAC_READ_SEARCH, if we have it
  int listener = -1;               // a listening socket, handed over as systemd does (sd_listen_fds(3)); borrowed
};
// The path at which the tool opens files[index].
std::string given_file(std::size_t index);

// Where the tool lies. Errors: image_tool_missing.
Result<std::string> find_tool(const std::string& tool);

class ConfinedProcess {
 public:
  // `doing` and `object` are those of errors. Errors: image_tool_missing, io_error, too_many_open_files.
  static Result<ConfinedProcess> start(const ConfinedCommand& command, const std::string& doing,
                                       const std::string& object);
  ConfinedProcess(ConfinedProcess&& other) noexcept;
  ConfinedProcess& operator=(ConfinedProcess&& other) noexcept;
  ConfinedProcess(const ConfinedProcess&) = delete;
  ConfinedProcess& operator=(const ConfinedProcess&) = delete;
  // Kills it, if it still runs, and waits for its end.
  ~ConfinedProcess();

  // Waits for its end; its exit status, 128 + the signal when one ended it. It is killed when it takes longer.
  // Errors: io_error.
  Result<int> finish(std::chrono::milliseconds at_most);
  // What it has written to its standard output and error so far, 256 KiB of each at most. More makes its writing fail.
  [[nodiscard]] std::string output() const;
  // The last line of what it complained of, for errors; empty: none.
  [[nodiscard]] std::string last_words() const;
  // Empty: it is confined as said above. Else what is lacking, in words.
  [[nodiscard]] const std::string& not_confined() const { return not_confined_; }

 private:
  ConfinedProcess() = default;
  void end();

  int pid_ = -1;
  int status_ = -1;
  UniqueFd ended_;
  UniqueFd output_;
  UniqueFd complaints_;
  std::string doing_;
  std::string object_;
  std::string not_confined_;
};

}  // namespace cairn
