using System.Text;
using Apvirt.Kernel;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Memory;

namespace Apvirt.Vfio.Tests;

/// <summary>What drivers do with guest memory (vfio.md §7): pins of several pages, copies, and memory that moves.</summary>
public sealed class GuestMemoryTests
{
    private const MapProtection Both = MapProtection.Read | MapProtection.Write;
    private const ulong Page = 0x1000;

    private readonly VfioSystem _s = new();
    private readonly UserMemory _memory = new("process", 16 * Page);

    private (Errno Error, int Pinned) Pin(VfioDevice device, ulong iova, int count, MapProtection protection = Both) =>
        _s.Do(device.Pins.PinAsync(_s.Task, iova, count, protection));

    private string Read(VfioDevice device, ulong iova, int bytes)
    {
        byte[] into = new byte[bytes];
        Errno error = _s.Do(device.Pins.ReadAsync(_s.Task, iova, into));
        return error == Errno.Ok ? Encoding.ASCII.GetString(into) : error.ToString();
    }

    private Errno Write(VfioDevice device, ulong iova, string text) => _s.Do(device.Pins.WriteAsync(_s.Task, iova, Encoding.ASCII.GetBytes(text)));

    [Fact]
    public void Pages_are_pinned_all_or_none()
    {
        (VfioDevice device, _) = _s.Add("d");
        VfioContainer container = _s.Contain(device.Group);
        Assert.Equal((Errno.EINVAL, 0), Pin(device, 0, 1));
        VfioDeviceFile file = _s.Open(device);
        Assert.Equal((Errno.EINVAL, 0), Pin(device, 0, 0));
        Assert.Equal((Errno.EINVAL, 0), Pin(device, 0, -1));
        Assert.Equal((Errno.Ok, 3), Pin(device, 0x800, 3));
        Assert.Equal((true, true, false), (device.Pins.IsPinned(0), device.Pins.IsPinned(2 * Page), device.Pins.IsPinned(3 * Page)));
        // The last pages of the memory and a hole; then a page that may only be read.
        Assert.Equal((Errno.EINVAL, 0), Pin(device, VfioSystem.Memory - (2 * Page), 3));
        Assert.Equal(3, device.Pins.Count);
        Assert.Equal(Errno.Ok, _s.Do(container.MapAsync(_s.Task, VfioSystem.Memory, Page, MapProtection.Read)));
        Assert.Equal((Errno.EPERM, 0), Pin(device, VfioSystem.Memory - (2 * Page), 3));
        Assert.Equal((Errno.Ok, 3), Pin(device, VfioSystem.Memory - (2 * Page), 3, MapProtection.Read));
        // A page that was pinned before keeps its pin when a later one fails.
        Assert.Equal((Errno.EPERM, 0), Pin(device, VfioSystem.Memory - Page, 2));
        Assert.Equal(6, device.Pins.Count);
        _s.Do(device.Pins.UnpinAsync(_s.Task, 0, 3));
        _s.Do(device.Pins.UnpinAsync(_s.Task, VfioSystem.Memory - (2 * Page), 3));
        Assert.Equal(0, device.Pins.Count);
        _s.Close(file);
        Assert.Empty(_s.Runtime.Checks!.Violations.ToArray());
    }

    [Fact]
    public void A_container_pins_so_many_pages_at_once_and_an_iommufd_more()
    {
        (VfioDevice device, _) = _s.Add("d");
        VfioContainer container = _s.Contain(device.Group);
        Assert.Equal(Errno.Ok, _s.Do(container.MapAsync(_s.Task, VfioSystem.Memory, 1024 * Page, Both)));
        VfioDeviceFile file = _s.Open(device);
        Assert.Equal((Errno.Ok, 512), Pin(device, VfioSystem.Memory, 512));
        Assert.Equal((Errno.E2BIG, 0), Pin(device, VfioSystem.Memory, 513));
        _s.Do(device.Pins.UnpinAsync(_s.Task, VfioSystem.Memory, 512));
        _s.Close(file);

        (VfioDevice direct, _) = _s.Add("direct");
        IommuFd iommufd = new(_s.Runtime, "process");
        Assert.Equal(Errno.Ok, _s.Do(iommufd.Compatible.MapAsync(_s.Task, 0, 1024 * Page, Both)));
        VfioDeviceFile own = direct.OpenDirectly(_s.Task).File!;
        Assert.Equal(Errno.Ok, _s.Do(own.BindAsync(_s.Task, iommufd)));
        Assert.Equal((Errno.ENOENT, 0), Pin(direct, 0, 1));
        Assert.Equal(Errno.Ok, _s.Do(own.AttachAsync(_s.Task, iommufd.Compatible)));
        Assert.Equal((Errno.Ok, 600), Pin(direct, 0x123, 600));
        Assert.Equal((Errno.ENOENT, 0), Pin(direct, 1023 * Page, 2));
        Assert.Equal(600, direct.Pins.Count);
        _s.Do(direct.Pins.UnpinAsync(_s.Task, 0, 600));
        _s.Do(own.CloseAsync(_s.Task));
        Assert.Empty(_s.Runtime.Checks!.Violations.ToArray());
    }

    [Fact]
    public void Who_is_not_told_of_unmaps_cannot_pin()
    {
        (VfioDevice device, RecordingDriver driver) = _s.Add("d", made: new RecordingDriver { HasDmaUnmap = false });
        VfioContainer container = _s.Contain(device.Group);
        _s.Open(device);
        Assert.Equal((Errno.EINVAL, 0), Pin(device, 0, 1));
        Assert.Equal(Errno.Ok, _s.Do(container.UnmapAsync(_s.Task, 0, VfioSystem.Memory)));
        Assert.Equal(["open"], driver.Calls);
    }

    [Fact]
    public void What_is_copied_comes_from_where_the_process_has_it()
    {
        (VfioDevice device, _) = _s.Add("d");
        VfioContainer container = new(_s.Runtime, "process", _s.Profile, _memory);
        _s.Do(device.Group.OpenAsync(_s.Task));
        _s.Do(device.Group.SetContainerAsync(_s.Task, container));
        _s.Do(container.SetIommuAsync(_s.Task, 2));
        // The device sees two pages in the other order, then one that it may only read, then a hole, then what is not there.
        _s.Do(container.MapAsync(_s.Task, 0, Page, Both, address: 2 * Page));
        _s.Do(container.MapAsync(_s.Task, Page, Page, Both, address: Page));
        _s.Do(container.MapAsync(_s.Task, 2 * Page, Page, MapProtection.Read, address: 5 * Page));
        _s.Do(container.MapAsync(_s.Task, 8 * Page, Page, MapProtection.Write, address: 6 * Page));
        _s.Do(container.MapAsync(_s.Task, 9 * Page, Page, Both, address: 16 * Page));
        Assert.Equal("EINVAL", Read(device, 0, 1));
        _s.Open(device);
        Assert.True(_memory.TryWrite(_s.Task, (3 * Page) - 3, "end"u8));
        Assert.True(_memory.TryWrite(_s.Task, Page, "begin"u8));
        Assert.Equal("endbegin", Read(device, Page - 3, 8));
        Assert.Equal(Errno.Ok, Write(device, Page - 1, "AB"));
        Assert.Equal("enABegin", Read(device, Page - 3, 8));
        byte[] seen = new byte[1];
        Assert.True(_memory.TryRead(_s.Task, (3 * Page) - 1, seen));
        Assert.Equal("A"u8.ToArray(), seen);
        Assert.Equal("\0\0", Read(device, 2 * Page, 2));
        Assert.Equal(Errno.EPERM, Write(device, 2 * Page, "x"));
        Assert.Equal("EPERM", Read(device, 8 * Page, 1));
        Assert.Equal("EINVAL", Read(device, 3 * Page, 1));
        Assert.Equal("EINVAL", Read(device, (3 * Page) - 1, 2));
        Assert.Equal("EFAULT", Read(device, 9 * Page, 1));
        Assert.Equal(Errno.EFAULT, Write(device, 9 * Page, "x"));
        // Nothing of all this is pinned.
        Assert.Equal(0, device.Pins.Count);
        Assert.Empty(_s.Runtime.Checks!.Violations.ToArray());
    }

    [Fact]
    public void Memory_moves_only_where_no_emulated_device_is_and_is_pinned_only_where_it_is()
    {
        (VfioDevice physical, _) = _s.Add("physical", GroupKind.Physical);
        VfioContainer container = _s.Contain(physical.Group, _memory);
        Assert.Equal(Errno.EINVAL, _s.Do(container.InvalidateAsync(_s.Task, 0, Page)));
        Assert.Equal(Errno.EINVAL, _s.Do(container.InvalidateAsync(_s.Task, 1, VfioSystem.Memory)));
        Assert.Equal(Errno.EINVAL, _s.Do(container.UpdateAsync(_s.Task, 0, VfioSystem.Memory, 0)));
        Assert.Equal(Errno.Ok, _s.Do(container.InvalidateAsync(_s.Task, 0, VfioSystem.Memory)));
        Assert.Equal(Errno.EINVAL, _s.Do(container.InvalidateAsync(_s.Task, 0, VfioSystem.Memory)));

        (VfioDevice emulated, _) = _s.Add("emulated");
        _s.Do(emulated.Group.OpenAsync(_s.Task));
        Assert.Equal(Errno.Ok, _s.Do(emulated.Group.SetContainerAsync(_s.Task, container)));
        _s.Open(emulated);
        Assert.Equal((Errno.EBUSY, 0), Pin(emulated, 0, 1));
        Assert.Equal("EFAULT", Read(emulated, 0, 1));
        Assert.Equal(Errno.EINVAL, _s.Do(container.UpdateAsync(_s.Task, 0, Page, 0)));
        Assert.Equal(Errno.Ok, _s.Do(container.UpdateAsync(_s.Task, 0, VfioSystem.Memory, 4 * Page)));
        Assert.Equal((Errno.Ok, 1), Pin(emulated, 0, 1));
        Assert.True(_memory.TryWrite(_s.Task, 4 * Page, "moved"u8));
        Assert.Equal("moved", Read(emulated, 0, 5));
        Assert.Equal(Errno.EBUSY, _s.Do(container.InvalidateAsync(_s.Task, 0, VfioSystem.Memory)));
        Assert.Equal(Errno.EINVAL, _s.Do(new VfioContainer(_s.Runtime, "process", _s.Profile).InvalidateAsync(_s.Task, 0, Page)));
    }
}
