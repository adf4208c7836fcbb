using Apvirt.Ap.Profiles;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Tests;

/// <summary>Mapping and unmapping in a container (vfio.md §7, §8, I23).</summary>
public sealed class UnmapTests
{
    private const MapProtection Both = MapProtection.Read | MapProtection.Write;

    private static (VfioSystem System, VfioDevice Device, RecordingDriver Driver, VfioContainer Container) Make(Profile? profile = null, int version = 2)
    {
        VfioSystem s = new(profile);
        (VfioDevice device, RecordingDriver driver) = s.Add("device");
        VfioContainer container = new(s.Runtime, "process", s.Profile);
        s.Do(device.Group.OpenAsync(s.Task));
        s.Do(device.Group.SetContainerAsync(s.Task, container));
        s.Do(container.SetIommuAsync(s.Task, version));
        driver.Unmapped = async (task, iova, length) =>
        {
            for (ulong page = iova; page < iova + length; page += 0x1000)
            {
                while (device.Pins.IsPinned(page))
                    await device.Pins.UnpinAsync(task, page);
            }
        };
        return (s, device, driver, container);
    }

    [Theory]
    [InlineData(0UL, 0UL)]
    [InlineData(0x800UL, 0x1000UL)]
    [InlineData(0x1000UL, 0x800UL)]
    [InlineData(0xfffffffffffff000UL, 0x2000UL)]
    public void Ranges_are_whole_pages(ulong iova, ulong length)
    {
        (VfioSystem s, _, _, VfioContainer container) = Make();
        Assert.Equal(Errno.EINVAL, s.Do(container.MapAsync(s.Task, iova, length, Both)));
        Assert.Equal(Errno.EINVAL, s.Do(container.UnmapAsync(s.Task, iova, length)));
    }

    [Fact]
    public void Mappings_do_not_overlap_and_in_version_2_go_as_a_whole()
    {
        (VfioSystem s, _, _, VfioContainer container) = Make();
        Assert.Equal(Errno.EINVAL, s.Do(container.MapAsync(s.Task, 0, 0x1000, MapProtection.None)));
        Assert.Equal(Errno.Ok, s.Do(container.MapAsync(s.Task, 0x1000, 0x3000, Both)));
        Assert.Equal(Errno.EEXIST, s.Do(container.MapAsync(s.Task, 0x3000, 0x2000, Both)));
        Assert.Equal(Errno.EINVAL, s.Do(container.UnmapAsync(s.Task, 0x2000, 0x1000)));
        Assert.Equal(Errno.EINVAL, s.Do(container.UnmapAsync(s.Task, 0x1000, 0x1000)));
        Assert.Equal(Errno.Ok, s.Do(container.UnmapAsync(s.Task, 0, 0x10000)));
        Assert.Empty(container.Iommu!.Mappings);
    }

    [Fact]
    public void Version_1_pins_nothing_for_emulated_devices()
    {
        (VfioSystem s, VfioDevice device, _, VfioContainer container) = Make(version: 1);
        s.Do(container.MapAsync(s.Task, 0, 0x1000, Both));
        s.Open(device);
        Assert.Equal(Errno.EACCES, s.Do(device.Pins.PinAsync(s.Task, 0)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void M105_I23_after_an_unmap_nothing_in_the_range_is_pinned(bool holdsListeners)
    {
        (VfioSystem s, VfioDevice device, RecordingDriver driver, VfioContainer container) = Make(holdsListeners ? Profile.Linux612 : Profile.Strict);
        s.Do(container.MapAsync(s.Task, 0x2000, 0x1000, Both));
        s.Do(container.MapAsync(s.Task, 0x9000, 0x1000, Both));
        s.Open(device);
        s.Do(device.Pins.PinAsync(s.Task, 0x2008));
        s.Do(device.Pins.PinAsync(s.Task, 0x9008));
        Assert.Equal(Errno.Ok, s.Do(container.UnmapAsync(s.Task, 0x2000, 0x1000)));
        Assert.Equal((false, true), (device.Pins.IsPinned(0x2008), device.Pins.IsPinned(0x9008)));
        Assert.Equal(["open", "unmap 2000+1000"], driver.Calls);
        Assert.Equal(Errno.EINVAL, s.Do(device.Pins.PinAsync(s.Task, 0x2008)));
        // The order of the locks is reported where it can deadlock (F01).
        Assert.Equal(holdsListeners, s.Runtime.Checks!.Violations.ToArray().Any(v => v.Kind == ViolationKind.CircularLocking));
    }

    [Fact]
    public void A_driver_that_never_unpins_is_found_out()
    {
        (VfioSystem s, VfioDevice device, RecordingDriver driver, VfioContainer container) = Make();
        s.Do(container.MapAsync(s.Task, 0x2000, 0x1000, Both));
        s.Open(device);
        s.Do(device.Pins.PinAsync(s.Task, 0x2000));
        driver.Unmapped = null;
        s.Do(container.UnmapAsync(s.Task, 0x2000, 0x1000));
        Assert.Contains(s.Runtime.Checks!.Violations.ToArray(), v => v.Rule == "I23");
        Assert.Equal(11, driver.Calls.Count);
    }
}
