using System.Text;
using Apvirt.Host.Guests;
using Apvirt.Kernel;
using Apvirt.VfioPci.Pci;

namespace Apvirt.VfioPci.Tests;

/// <summary>PCI functions in the tree, their drivers, and what happens to a guest when one goes (issue 6; vfio.md §2, §3).</summary>
public sealed class PciBusTests
{
    private const string Devices = "/sys/bus/pci/devices/";

    private readonly PciHost _h = new();

    // Forms as Documentation/arch/s390/pci.rst and IBM's "Displaying PCIe information" give them.
    [Theory]
    [InlineData("function_id", "0x00000104\n")]
    [InlineData("pchid", "0x01c0\n")]
    [InlineData("pfgid", "0x02\n")]
    [InlineData("vfn", "0x0003\n")]
    [InlineData("uid", "0x1000\n")]
    [InlineData("uid_is_unique", "1\n")]
    [InlineData("pfip/segment0", "0x01\n")]
    [InlineData("pfip/segment3", "0x04\n")]
    [InlineData("vendor", "0x15b3\n")]
    [InlineData("class", "0x020000\n")]
    [InlineData("driver_override", "vfio-pci\n")]
    public void A_function_tells_what_the_firmware_knows(string attribute, string expected) => Assert.Equal(expected, _h.Read($"{Devices}{PciHost.Roce}/{attribute}"));

    [Fact]
    public void Domains_are_uids_only_if_every_function_has_one_of_its_own()
    {
        Assert.Equal([PciHost.Roce, PciHost.Disk, PciHost.Gpu], _h.List(Devices));
        PciHost other = new([PciHost.Usual[0], PciHost.Usual[1] with { Uid = 0 }]);
        Assert.Equal(["0000:00:00.0", "0001:00:00.0"], other.List(Devices));
        Assert.Equal("0\n", other.Read($"{Devices}0000:00:00.0/uid_is_unique"));
        PciHost twice = new([PciHost.Usual[0], PciHost.Usual[1] with { Uid = 0x1000 }]);
        Assert.Equal(["0000:00:00.0", "0001:00:00.0"], twice.List(Devices));
    }

    [Fact]
    public void The_handle_changes_whenever_a_guest_takes_the_function_and_gives_it_back()
    {
        string before = _h.Read($"{Devices}{PciHost.Roce}/function_handle");
        Assert.Equal(Errno.Ok, _h.Start("g", PciHost.Roce));
        string during = _h.Read($"{Devices}{PciHost.Roce}/function_handle");
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        Assert.Equal(3, new[] { before, during, _h.Read($"{Devices}{PciHost.Roce}/function_handle") }.Distinct().Count());
        _h.AssertClean();
    }

    [Fact]
    public void A_function_goes_to_vfio_and_back_by_its_override()
    {
        string device = Devices + PciHost.Disk;
        Assert.Equal("nvme", _h.Function(PciHost.Disk).Driver!.Name);
        Assert.Equal(Errno.ENODEV, _h.Start("g", PciHost.Disk));
        Assert.Equal(Errno.ENODEV, _h.Write("/sys/bus/pci/drivers/vfio-pci/bind", PciHost.Disk));
        Assert.Equal(Errno.Ok, _h.Write($"{device}/driver_override", "vfio-pci\n"));
        // Without unbinding nothing happens.
        Assert.Equal(Errno.Ok, _h.Write("/sys/bus/pci/drivers_probe", PciHost.Disk));
        Assert.Equal("nvme", _h.Function(PciHost.Disk).Driver!.Name);
        Assert.Equal(Errno.EBUSY, _h.Write("/sys/bus/pci/drivers/vfio-pci/bind", PciHost.Disk));
        Assert.Equal(Errno.Ok, _h.Write($"{device}/driver/unbind", PciHost.Disk));
        Assert.Equal(Errno.Ok, _h.Write("/sys/bus/pci/drivers_probe", PciHost.Disk));
        Assert.Equal("vfio-pci", _h.Function(PciHost.Disk).Driver!.Name);
        Assert.Equal(["vfio0", "vfio1"], _h.List("/sys/class/vfio-dev"));
        Assert.Equal(Errno.Ok, _h.Start("g", PciHost.Disk));
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        Assert.Equal(Errno.Ok, _h.Write($"{device}/driver/unbind", PciHost.Disk));
        Assert.Equal(Errno.Ok, _h.Write($"{device}/driver_override", "\n"));
        Assert.Equal("(null)\n", _h.Read($"{device}/driver_override"));
        Assert.Equal(Errno.Ok, _h.Write("/sys/bus/pci/drivers_probe", PciHost.Disk));
        Assert.Equal("nvme", _h.Function(PciHost.Disk).Driver!.Name);
        Assert.Equal(["vfio0"], _h.List("/sys/class/vfio-dev"));
        _h.AssertClean();
    }

    [Fact]
    public void A_driver_can_be_told_of_ids()
    {
        Assert.Equal(Errno.EINVAL, _h.Write("/sys/bus/pci/drivers/vfio-pci/new_id", "144d"));
        Assert.Equal(Errno.Ok, _h.Write($"{Devices}{PciHost.Disk}/driver/unbind", PciHost.Disk));
        Assert.Equal(Errno.Ok, _h.Write("/sys/bus/pci/drivers/vfio-pci/new_id", "144d a808\n"));
        Assert.Equal("vfio-pci", _h.Function(PciHost.Disk).Driver!.Name);
        Assert.Equal(Errno.EEXIST, _h.Write("/sys/bus/pci/drivers/vfio-pci/new_id", "144d a808"));
        Assert.Equal(Errno.Ok, _h.Write("/sys/bus/pci/drivers/vfio-pci/remove_id", "144d a808"));
        Assert.Equal(Errno.ENODEV, _h.Write("/sys/bus/pci/drivers/vfio-pci/remove_id", "144d a808"));
    }

    [Fact]
    public void M097_a_group_that_the_host_uses_cannot_be_claimed_and_one_that_is_claimed_not_be_used()
    {
        PciHost h = new([PciHost.Usual[0] with { IommuGroup = "both" }, PciHost.Usual[1] with { IommuGroup = "both" }]);
        Assert.Equal([PciHost.Roce, PciHost.Disk], h.List("/sys/kernel/iommu_groups/0/devices"));
        Assert.False(h.Function().Group.Dma!.IsViable);
        // The disk is the host's.
        Assert.Equal(Errno.EPERM, h.Start("g", PciHost.Roce));
        Assert.Equal(Errno.Ok, h.Write($"{Devices}{PciHost.Disk}/driver/unbind", PciHost.Disk));
        Assert.Equal(Errno.Ok, h.Start("g", PciHost.Roce));
        Assert.Equal(1, h.Function().Group.Dma!.Claims);
        Assert.Equal(Errno.EBUSY, h.Write("/sys/bus/pci/drivers/nvme/bind", PciHost.Disk));
        Assert.Null(h.Function(PciHost.Disk).Driver);
        Assert.Equal(Errno.Ok, h.Stop("g"));
        Assert.Equal(Errno.Ok, h.Write("/sys/bus/pci/drivers/nvme/bind", PciHost.Disk));
        h.AssertClean();
    }

    [Fact]
    public void A_guest_has_two_functions_of_one_group_and_gives_them_back_one_after_the_other()
    {
        PciHost h = new([PciHost.Usual[0] with { IommuGroup = "both" }, PciHost.Usual[1] with { IommuGroup = "both", IsForGuests = true }]);
        Assert.Equal(Errno.Ok, h.Start("g", PciHost.Roce, PciHost.Disk));
        Assert.Equal((5, 3), (h.Host.Guests.Find("g")!.Machine.References, h.Function().Group.ContainerUsers));
        Assert.Equal(Errno.EBUSY, h.Start("h", PciHost.Disk));
        Assert.Equal(Errno.EBUSY, h.Start("g", PciHost.Roce));
        Assert.Equal(Errno.Ok, h.Runtime.Drive(h.Host.Guests.DetachAsync(h.Task, "g", PciHost.Roce)));
        Assert.True(h.Function().Group.IsOpen);
        Assert.Equal(Errno.Ok, h.Start("g", PciHost.Roce));
        Assert.Equal(Errno.Ok, h.Stop("g"));
        Assert.Equal((false, 0, 0), (h.Function().Group.IsOpen, h.Function().Group.ContainerUsers, h.Function().Group.Dma!.Claims));
        h.AssertClean();
    }

    [Fact]
    public void Groups_use_an_iommufd_as_well_as_a_container()
    {
        _h.CreateMdev().CreateVgpu();
        Assert.Equal("\"result\":\"ok\"", _h.Run($$"""{"op":"guest.start","guest":"g","devices":["{{PciHost.Mdev}}","{{PciHost.Roce}}","{{PciHost.Vgpu}}"],"iommufd":true}"""));
        GuestProcess guest = _h.Host.Guests.Find("g")!;
        Assert.Null(guest.Container);
        Assert.Equal((7, 1), (guest.Machine.References, _h.Function().Group.Dma!.Claims));
        Assert.Same(guest.Iommufd!.Compatible, _h.Function().Function.Domain);
        Assert.Equal("\"rc\":0", _h.Run("""{"op":"pqap.aqic","guest":"g","apqn":"04.0004","enable":true,"isc":3,"nib":"0x2000"}"""));
        Assert.Equal("\"result\":\"ok\"", _h.Run($$"""{"op":"vgpu.map","mdev":"{{PciHost.Vgpu}}","iova":"0x3000"}"""));
        Assert.Equal("\"result\":\"ENOENT\"", _h.Run("""{"op":"ioas.unmap","guest":"g","iova":"0x2000","length":"0x1000"}"""));
        Assert.Equal("\"result\":\"ok\"", _h.Run("""{"op":"ioas.unmap","guest":"g","iova":"0x0","length":"0x100000000"}"""));
        Assert.Equal("\"pins\":0,\"gisc\":[0,0,0,0,0,0,0,0]", _h.Run("""{"op":"guest.irq_state","guest":"g"}"""));
        Assert.Equal("\"result\":\"ok\"", _h.Run("""{"op":"ioas.map","guest":"g","iova":"0x0","length":"0x4000"}"""));
        Assert.Equal("\"result\":\"EEXIST\"", _h.Run("""{"op":"ioas.map","guest":"g","iova":"0x3000","length":"0x1000"}"""));
        Assert.Equal("\"rc\":0", _h.Run("""{"op":"pqap.aqic","guest":"g","apqn":"04.0004","enable":true,"isc":3,"nib":"0x2000"}"""));
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        Assert.Equal(0, _h.Function().Group.Dma!.Claims);
        _h.AssertClean();
    }

    [Fact]
    public void M097_the_translations_are_the_containers_while_it_is_open_and_the_hosts_again_after()
    {
        Assert.Null(_h.Function().Function.Domain);
        Assert.Equal(Errno.Ok, _h.Start("g", PciHost.Roce));
        Assert.Same(_h.Host.Guests.Find("g")!.Container!.Iommu, _h.Function().Function.Domain);
        Assert.Equal(1, _h.Function().Function.Firmware.Translations);
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        Assert.Null(_h.Function().Function.Domain);
        Assert.Equal(1, _h.Function().Function.Firmware.Translations);
        _h.AssertClean();
    }

    [Fact]
    public void A_guest_that_listens_gives_a_function_back_when_it_is_deconfigured()
    {
        Assert.Equal(Errno.Ok, _h.Start("g", PciHost.Roce));
        Assert.Equal("1\n", _h.Read("/sys/bus/pci/slots/00000104/power"));
        Assert.Equal(Errno.Ok, _h.Write("/sys/bus/pci/slots/00000104/power", "0"));
        Assert.Equal([PciHost.Disk, PciHost.Gpu], _h.List(Devices));
        Assert.Empty(_h.Host.Guests.Find("g")!.Devices);
        Assert.Equal(1, _h.Host.Guests.Find("g")!.Machine.References);
        Assert.False(_h.Host.Pci.Bus.Slots[0].Function.Firmware.IsEnabled);
        Assert.Equal(Errno.ENODEV, _h.Start("g", PciHost.Roce));
        Assert.Equal(Errno.Ok, _h.Write("/sys/bus/pci/slots/00000104/power", "1"));
        Assert.Equal("1000:00:00\n", _h.Read("/sys/bus/pci/slots/00000104/address"));
        Assert.Equal(Errno.Ok, _h.Start("g", PciHost.Roce));
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        _h.AssertClean();
    }

    [Fact]
    public void A_guest_that_does_not_listen_keeps_a_function_and_its_removal_waits()
    {
        Assert.Equal(Errno.Ok, _h.Runtime.Drive(_h.Host.Guests.StartAsync(_h.Task, "g", [PciHost.Roce], new GuestOptions { RegistersRequest = false })));
        bool isGone = false;
        _h.Runtime.Spawn("remover", async task =>
        {
            await _h.Host.Tree.WriteAsync(task, $"{Devices}{PciHost.Roce}/remove", "1"u8.ToArray());
            isGone = true;
        });
        _h.Runtime.Advance(TimeSpan.FromMinutes(2));
        Assert.False(isGone);
        Assert.Equal([PciHost.Disk, PciHost.Gpu], _h.List(Devices));
        Assert.NotEqual(0u, _h.Host.Pci.Bus.Slots[0].Function.Gisa);
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        _h.Runtime.Advance(TimeSpan.FromSeconds(11));
        Assert.True(isGone);
        Assert.Equal(Errno.Ok, _h.Write("/sys/bus/pci/rescan", "1"));
        Assert.Equal(3, _h.List(Devices).Length);
        _h.AssertClean();
    }

    [Fact]
    public void Recovering_a_function_takes_it_from_its_guest_and_brings_it_back_enabled()
    {
        Assert.Equal(Errno.Ok, _h.Start("g", PciHost.Roce));
        Assert.Equal(Errno.Ok, _h.Write($"{Devices}{PciHost.Roce}/recover", "1"));
        Assert.Empty(_h.Host.Guests.Find("g")!.Devices);
        Assert.Equal((true, 0u, 1), (_h.Function().Function.Firmware.IsEnabled, _h.Function().Function.Firmware.Gisa, _h.Function().Function.Firmware.Translations));
        _h.AssertClean();
    }

    [Fact]
    public void A_vgpu_uses_the_memory_of_its_guest()
    {
        _h.CreateVgpu();
        string Vgpu(string op, string rest) => _h.Run($$"""{"op":"vgpu.{{op}}","mdev":"{{PciHost.Vgpu}}"{{rest}}}""");
        Assert.Equal("\"result\":\"EINVAL\"", Vgpu("map", ",\"iova\":\"0x0\""));
        Assert.Equal("\"result\":\"ok\"", _h.Run($$"""{"op":"guest.start","guest":"g","device":"{{PciHost.Vgpu}}","mem":4194304}"""));
        Assert.Equal("\"result\":\"ok\"", Vgpu("map", ",\"iova\":\"0x3000\",\"pages\":4"));
        Assert.Equal("\"guest\":\"g\",\"pages\":4", Vgpu("state", ""));
        // What is used already keeps its one pin.
        Assert.Equal("\"result\":\"ok\"", Vgpu("map", ",\"iova\":\"0x5000\",\"pages\":3"));
        Assert.Equal("\"result\":\"EINVAL\"", Vgpu("map", ",\"iova\":\"0x3fe000\",\"pages\":3"));
        Assert.Equal("\"result\":\"E2BIG\"", Vgpu("map", ",\"iova\":\"0x0\",\"pages\":513"));
        Assert.Equal(5, _h.Host.Guests.Find("g")!.PinCount);
        Assert.Equal("\"result\":\"ok\"", _h.Run("""{"op":"guest.write","guest":"g","address":"0xffe","data":"command"}"""));
        Assert.Equal("\"value\":\"command\"", Vgpu("read", ",\"iova\":\"0xffe\",\"bytes\":7"));
        Assert.Equal("\"result\":\"ok\"", Vgpu("write", ",\"iova\":\"0x1000\",\"data\":\"X\""));
        Assert.Equal("\"value\":\"coXmand\"", Vgpu("read", ",\"iova\":\"0xffe\",\"bytes\":7"));
        Assert.Equal("\"result\":\"EINVAL\"", Vgpu("read", ",\"iova\":\"0x3fffff\",\"bytes\":2"));
        Assert.Equal("\"result\":\"EFAULT\"", _h.Run("""{"op":"guest.write","guest":"g","address":"0x400000","data":"x"}"""));
        Assert.Equal("\"result\":\"EBUSY\"", _h.Run("""{"op":"container.invalidate","guest":"g","iova":"0x0","length":"0x400000"}"""));
        Assert.Equal("\"result\":\"ok\"", _h.Run("""{"op":"container.map","guest":"g","iova":"0x400000","length":"0x1000","write":false,"address":"0x1000"}"""));
        Assert.Equal("\"value\":\"Xm\"", Vgpu("read", ",\"iova\":\"0x400000\",\"bytes\":2"));
        Assert.Equal("\"result\":\"EPERM\"", Vgpu("write", ",\"iova\":\"0x400000\",\"data\":\"x\""));
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        Assert.Equal("\"result\":\"EINVAL\"", Vgpu("read", ",\"iova\":\"0x0\",\"bytes\":1"));
        _h.AssertClean();
    }

    [Fact]
    public void Memory_of_a_guest_with_functions_only_can_move()
    {
        Assert.Equal("\"result\":\"ok\"", _h.Run($$"""{"op":"guest.start","guest":"g","device":"{{PciHost.Roce}}","mem":4194304}"""));
        Assert.Equal("\"result\":\"EINVAL\"", _h.Run("""{"op":"container.update","guest":"g","iova":"0x0","length":"0x400000","address":"0x0"}"""));
        Assert.Equal("\"result\":\"ok\"", _h.Run("""{"op":"container.invalidate","guest":"g","iova":"0x0","length":"0x400000"}"""));
        Assert.Equal("\"result\":\"ok\"", _h.Run("""{"op":"container.update","guest":"g","iova":"0x0","length":"0x400000","address":"0x0"}"""));
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        _h.AssertClean();
    }

    [Fact]
    public void M088_a_vgpu_is_not_opened_with_the_VM_of_another_process()
    {
        _h.CreateVgpu();
        Assert.Equal("\"result\":\"ok\"", _h.Run("""{"op":"guest.create","guest":"g"}"""));
        Assert.Equal("\"result\":\"ok\"", _h.Run("""{"op":"guest.create","guest":"h"}"""));
        Assert.Equal("\"result\":\"ok\"", _h.Run($$"""{"op":"kvm.file_add","guest":"h","mdev":"{{PciHost.Vgpu}}"}"""));
        Assert.Equal("\"result\":\"ESRCH\"", _h.Run($$"""{"op":"guest.start","guest":"g","device":"{{PciHost.Vgpu}}","kvm":false}"""));
        Assert.Equal("\"result\":\"ok\"", _h.Run($$"""{"op":"guest.start","guest":"h","device":"{{PciHost.Vgpu}}","kvm":false}"""));
        Assert.Equal(Errno.Ok, _h.Stop("h"));
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        _h.AssertClean();
    }

    [Fact]
    public void A_utility_string_is_told_where_there_is_one()
    {
        Assert.EndsWith($",\"noi\":256,\"util\":\"{PciHost.Utility}\"", _h.Run("""{"op":"zpci.info","device":"1000:00:00.0"}"""), StringComparison.Ordinal);
        Assert.Equal(Errno.Ok, _h.Write($"{Devices}{PciHost.Disk}/driver_override", "vfio-pci"));
        Assert.Equal(Errno.Ok, _h.Write("/sys/bus/pci/drivers/nvme/unbind", PciHost.Disk));
        Assert.Equal(Errno.Ok, _h.Write("/sys/bus/pci/drivers_probe", PciHost.Disk));
        Assert.EndsWith(",\"noi\":256", _h.Run("""{"op":"zpci.info","device":"1001:00:00.0"}"""), StringComparison.Ordinal);
    }

    [Fact]
    public void User_space_forwards_interrupts_by_the_handle_that_the_device_tells_after_the_open()
    {
        string before = _h.Run("""{"op":"zpci.info","device":"1000:00:00.0"}""");
        Assert.Equal(Errno.Ok, _h.Start("g", PciHost.Roce));
        string after = _h.Run("""{"op":"zpci.info","device":"1000:00:00.0"}""");
        Assert.NotEqual(before, after);
        Assert.EndsWith(",\"pchid\":448,\"vfn\":3,\"pft\":10,\"gid\":2,\"noi\":256,\"util\":\"port 1 of a RoCE Express 2\"", after, StringComparison.Ordinal);
        string Forward(string info) => _h.Run($$"""{"op":"zpci.reg_aen","guest":"g","handle":"{{info.Split('"')[3]}}","aibv":"0x3000","isc":4,"noi":16}""");
        Assert.Equal("\"result\":\"ENODEV\"", Forward(before));
        Assert.Equal("\"result\":\"ok\"", Forward(after));
        Assert.Equal("\"result\":\"EINVAL\"", Forward(after));
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        Assert.Equal("\"result\":\"ENODEV\"", Forward(after));
        _h.AssertClean();
    }

    [Fact]
    public void A_guest_that_wants_single_interrupts_has_one_until_it_asks_again()
    {
        const string Interrupt = """{"op":"zpci.interrupt","device":"1000:00:00.0"}""";
        Assert.Equal(Errno.Ok, _h.Start("g", PciHost.Roce));
        Assert.Equal("\"guest\":\"\"", _h.Run(Interrupt));
        _h.Run("""{"op":"zpci.reg_aen","guest":"g","device":"1000:00:00.0","aibv":"0x3000","isc":4,"noi":16}""");
        Assert.Equal(("\"guest\":\"g\"", "\"guest\":\"g\""), (_h.Run(Interrupt), _h.Run(Interrupt)));
        Assert.Equal("\"result\":\"EINVAL\"", _h.Run("""{"op":"guest.ais","guest":"g","isc":8,"mode":"single"}"""));
        Assert.Equal("\"result\":\"ok\"", _h.Run("""{"op":"guest.ais","guest":"g","isc":4,"mode":"single"}"""));
        Assert.Equal(("\"guest\":\"g\"", "\"guest\":\"\""), (_h.Run(Interrupt), _h.Run(Interrupt)));
        Assert.Equal("\"result\":\"ok\"", _h.Run("""{"op":"guest.ais","guest":"g","isc":4,"mode":"single"}"""));
        Assert.Equal("\"guest\":\"g\"", _h.Run(Interrupt));
        _h.Run("""{"op":"guest.ais","guest":"g","isc":4,"mode":"all"}""");
        Assert.Equal(("\"guest\":\"g\"", "\"guest\":\"g\""), (_h.Run(Interrupt), _h.Run(Interrupt)));
        Assert.Equal("\"taken\":4", _h.Run("""{"op":"guest.wait","guest":"g","isc":[4]}"""));
        _h.AssertClean();
    }

    [Fact]
    public void A_graphics_adapter_is_split_up_while_the_host_has_it()
    {
        string types = $"{Devices}{PciHost.Gpu}/mdev_supported_types/i915-GVTg_V5_4";
        Assert.Equal("vfio-pci\n", _h.Read($"{types}/device_api"));
        _h.CreateVgpu();
        Assert.Equal("3\n", _h.Read($"{types}/available_instances"));
        Assert.Equal([PciHost.Gpu, "matrix"], _h.List("/sys/class/mdev_bus"));
        Assert.Equal(["vfio1"], _h.List($"/sys/bus/mdev/devices/{PciHost.Vgpu}/vfio-dev"));
        // The name is taken on the whole bus.
        Assert.Equal(Errno.EEXIST, _h.Write("/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create", PciHost.Vgpu));
        Assert.Equal(Errno.Ok, _h.Start("g", PciHost.Vgpu));
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        Assert.Equal(Errno.Ok, _h.Write("/sys/bus/pci/drivers/i915/unbind", PciHost.Gpu));
        Assert.Equal(["matrix"], _h.List("/sys/class/mdev_bus"));
        Assert.Empty(_h.Host.Pci.Vgpus);
        _h.AssertClean();
    }

    // vfio.md 10: while the parent goes, which waits for an open vGPU, nobody makes another or removes one.
    [Fact]
    public void No_vgpu_is_made_or_removed_while_the_adapter_waits_for_an_open_one()
    {
        const string Other = "cef03c3c-903d-4ecc-9a83-40694cb8aee4";
        _h.CreateVgpu().CreateVgpu(Other);
        Assert.Equal(Errno.Ok, _h.Runtime.Drive(_h.Host.Guests.StartAsync(_h.Task, "g", [PciHost.Vgpu], new GuestOptions { RegistersRequest = false })));
        bool isGone = false;
        _h.Runtime.Spawn("unbinder", async task =>
        {
            await _h.Host.Tree.WriteAsync(task, "/sys/bus/pci/drivers/i915/unbind", Encoding.ASCII.GetBytes(PciHost.Gpu));
            isGone = true;
        });
        _h.Runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.False(isGone);
        Assert.Equal(Errno.ENODEV, _h.Write($"{Devices}{PciHost.Gpu}/mdev_supported_types/i915-GVTg_V5_4/create", "11111111-2222-4333-8444-555555555555"));
        Assert.Equal(Errno.ENODEV, _h.Write($"/sys/bus/mdev/devices/{Other}/remove", "1"));
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        _h.Runtime.Advance(TimeSpan.FromSeconds(11));
        Assert.True(isGone);
        Assert.Empty(_h.Host.Pci.Vgpus);
        _h.AssertClean();
    }

    [Fact]
    public void All_devices_of_a_start_are_open_or_none()
    {
        _h.CreateMdev().CreateVgpu().CreateVgpu("cef03c3c-903d-4ecc-9a83-40694cb8aee4");
        // A second vGPU of the VM is refused after everything else was opened.
        Assert.Equal(Errno.EEXIST, _h.Start("g", PciHost.Mdev, PciHost.Roce, PciHost.Vgpu, "cef03c3c-903d-4ecc-9a83-40694cb8aee4"));
        Assert.Null(_h.Host.Guests.Find("g"));
        Assert.All(_h.Host.VfioDevices, device => Assert.Equal((0, false), (device.OpenCount, device.Group.IsOpen)));
        Assert.Equal(Errno.ENODEV, _h.Start("g", PciHost.Mdev, "1234:00:00.0"));
        Assert.Equal(Errno.Ok, _h.Start("g", PciHost.Mdev, PciHost.Roce, PciHost.Vgpu));
        Assert.Equal(Errno.EBUSY, _h.Start("h", PciHost.Vgpu));
        Assert.Equal(
            "\"refs\":7,\"holders\":[\"VM file\","
            + string.Join(',', new[] { PciHost.Mdev, PciHost.Roce, PciHost.Vgpu }.Select(device => $"\"{device} (open)\",\"{device} (driver)\"")) + "]",
            _h.Run("""{"op":"guest.refs","guest":"g"}"""));
        Assert.Equal(Errno.Ok, _h.Stop("g"));
        _h.AssertClean();
    }
}
