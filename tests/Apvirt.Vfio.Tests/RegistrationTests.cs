using Apvirt.Kernel;
using Apvirt.Kernel.Logging;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;

namespace Apvirt.Vfio.Tests;

/// <summary>What registration refuses (vfio.md §2).</summary>
public sealed class RegistrationTests
{
    private readonly VfioSystem _s = new();

    private Errno Register(VfioGroup group, RecordingDriver driver, Apvirt.Devices.Core.Device? parent = null)
    {
        VfioDevice device = new("d", driver, group, new KernelLog(), parent);
        Errno error = _s.Do(device.OfferAsync(_s.Task));
        // Who is refused is nowhere.
        Assert.Equal(error == Errno.Ok ? Errno.EINVAL : Errno.ENODEV, _s.TryOpen(device));
        return error;
    }

    [Theory]
    [InlineData(GroupKind.Physical)]
    [InlineData(GroupKind.Emulated)]
    [InlineData(GroupKind.NoIommu)]
    public void A_driver_has_the_operations_of_iommufd(GroupKind kind)
    {
        Assert.Equal(Errno.EINVAL, Register(_s.Groups.Create(_s.DeviceOf("a"), kind), new RecordingDriver { HasIommufdOperations = false }));
        Assert.Equal(Errno.Ok, Register(_s.Groups.Create(_s.DeviceOf("b"), kind), new RecordingDriver()));
    }

    [Theory]
    [InlineData(GroupKind.Physical, Errno.EINVAL)]
    [InlineData(GroupKind.Emulated, Errno.Ok)]
    public void What_does_DMA_keeps_caches_coherent(GroupKind kind, Errno expected)
    {
        VfioGroup group = _s.Groups.Create(_s.DeviceOf("a"), kind);
        group.IsCoherent = false;
        Assert.Equal(expected, Register(group, new RecordingDriver()));
    }

    [Theory]
    [InlineData(GroupKind.Physical, Errno.EINVAL)]
    [InlineData(GroupKind.Emulated, Errno.Ok)]
    public void What_does_DMA_is_in_a_group(GroupKind kind, Errno expected)
    {
        Apvirt.Devices.Core.Device inside = _s.DeviceOf("inside");
        VfioGroup group = _s.Groups.Create(inside, kind);
        Assert.Equal(expected, Register(group, new RecordingDriver(), _s.DeviceOf("outside")));
    }
}
