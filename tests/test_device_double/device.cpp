// A device for tests: torch's slot for foreign backends, with memory of its own that is counted, computing on the CPU.
//
// Tensors on it live in blocks that no CPU kernel can reach; every operation copies its inputs out, computes on the
// CPU, and copies its results back. So what is on the device and what is not is as real as with a GPU, without one.

#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/library.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <unordered_map>

namespace {

constexpr auto kDevice = c10::DeviceType::PrivateUse1;
constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

std::mutex lock;
std::unordered_map<void*, size_t> blocks;
int64_t live = 0, peak = 0;

void release(void* block) {
  if (!block) return;
  {
    std::lock_guard<std::mutex> guard(lock);
    live -= static_cast<int64_t>(blocks.at(block));
    blocks.erase(block);
  }
  c10::free_cpu(block);
}

struct CountingAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* block = bytes ? c10::alloc_cpu(bytes) : nullptr;
    if (block) {
      std::lock_guard<std::mutex> guard(lock);
      blocks[block] = bytes;
      live += static_cast<int64_t>(bytes);
      peak = std::max(peak, live);
    }
    return {block, block, &release, c10::Device(kDevice, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t count) const override { std::memcpy(to, from, count); }
};

CountingAllocator allocator;
REGISTER_ALLOCATOR(kDevice, &allocator);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    c10::DataPtr block = allocator.allocate(bytes);
    if (size_t kept = std::min(bytes, storage.nbytes())) std::memcpy(block.get(), storage.data(), kept);
    storage.set_data_ptr_noswap(std::move(block));
    storage.set_nbytes(bytes);
  }
};

// One device, one stream, and nothing that is ever still under way.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  static constexpr c10::DeviceType static_type = kDevice;
  Guard() = default;
  explicit Guard(c10::DeviceType) {}
  c10::DeviceType type() const override { return kDevice; }
  c10::Device exchangeDevice(c10::Device) const override { return getDevice(); }
  c10::Device getDevice() const override { return c10::Device(kDevice, 0); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device device) const noexcept override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream exchangeStream(c10::Stream stream) const noexcept override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
};

at::Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &allocator, kKeys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &allocator, kKeys, c10::dtype_or_default(dtype));
}

// The same memory as a tensor of the CPU's, for as long as one copy takes.
at::Tensor seen_by_the_cpu(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  auto bytes = static_cast<char*>(const_cast<void*>(tensor.storage().data()));
  if (!bytes) return at::empty(tensor.sizes(), tensor.options().device(at::kCPU));
  return at::from_blob(bytes + tensor.storage_offset() * tensor.element_size(), tensor.sizes(), tensor.strides(),
                       tensor.options().device(at::kCPU));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  at::Tensor target = seen_by_the_cpu(to);
  target.copy_(seen_by_the_cpu(from));
  return to;
}

const at::Tensor& resize_in_place(const at::Tensor& tensor, at::IntArrayRef size, std::optional<at::MemoryFormat>) {
  at::TensorImpl* impl = tensor.unsafeGetTensorImpl();
  impl->set_sizes_contiguous(size);
  at::native::maybe_resize_storage_cpu(
      impl, at::detail::computeStorageNbytesContiguous(size, impl->dtype().itemsize(), impl->storage_offset()));
  return tensor;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (from.sizes() != to.sizes()) resize_in_place(to, from.sizes(), std::nullopt);
  return copy_from(from, to, false);
}

at::Tensor& set_storage(at::Tensor& tensor, at::Storage storage) {
  const int64_t elements = static_cast<int64_t>(storage.nbytes() / tensor.element_size());
  const int64_t one = 1;
  return at::native::set_storage_cpu_(tensor, std::move(storage), 0, elements, one);
}

void on_the_cpu(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  at::native::cpu_fallback(operation, stack);
}

int64_t live_bytes() { return live; }
int64_t peak_bytes() { return peak; }
void reset_peak() { peak = live; }

}  // namespace

namespace at::detail {
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("resize_", &resize_in_place);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("set_.source_Storage", &set_storage);
  m.impl("set_.source_Storage_storage_offset", at::native::set_storage_cpu_);
}

// Autocast: products in 16 bits, as everywhere; all else in what it comes in.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(matmul, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(bmm, lower_precision_fp)
}

TORCH_LIBRARY(test_device, m) {
  at::RegisterPrivateUse1HooksInterface(new Hooks());
  m.def("live_bytes", live_bytes);
  m.def("peak_bytes", peak_bytes);
  m.def("reset_peak", reset_peak);
}
