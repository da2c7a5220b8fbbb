// A CUDA device for a torch that was built without one: it has streams, a current device and no memory.
//
// That is enough for fake tensors, which have shapes, types and devices and no numbers, and for autograd and autocast over them.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/FakeGuardImpl.h>

namespace c10::impl {
template <>
thread_local DeviceIndex FakeGuardImpl<DeviceType::CUDA>::current_device_ = 0;
template <>
thread_local std::array<StreamId, kFakeGuardImplMaxDevices> FakeGuardImpl<DeviceType::CUDA>::current_streams_ = {};
C10_REGISTER_GUARD_IMPL(CUDA, FakeGuardImpl<DeviceType::CUDA>);
}  // namespace c10::impl

namespace at {
struct CUDAHooks : public CUDAHooksInterface {
  CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isAvailable() const override { return true; }
  bool isBuilt() const override { return true; }
  bool compiledWithCuDNN() const override { return true; }
  bool supportsBFloat16RNNWithCuDNN() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return false; }
  DeviceIndex deviceCount() const override { return 1; }
};
using at::CUDAHooksRegistry;
using at::RegistererCUDAHooksRegistry;
REGISTER_CUDA_HOOKS(CUDAHooks);
}  // namespace at
