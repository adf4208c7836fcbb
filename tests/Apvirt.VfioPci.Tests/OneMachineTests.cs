using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Logging;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
using Apvirt.VfioPci.Vgpu;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Tests;

/// <summary>M101: the three consumers in one system, on one VM.</summary>
public sealed class OneMachineTests
{
    private const string Mdev = "62177883-f1bb-47f0-914d-32a22e3a8804";
    private static readonly string[] Kinds = ["mdev", "function", "vgpu"];

    // All pairs of an order of opening and an order of closing.
    public static TheoryData<string, string> Orders
    {
        get
        {
            int[][] orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
            TheoryData<string, string> data = [];
            foreach (int[] open in orders)
            {
                foreach (int[] close in orders)
                    data.Add(string.Join(' ', open.Select(i => Kinds[i])), string.Join(' ', close.Select(i => Kinds[i])));
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Orders))]
    public void M101_an_mdev_a_function_and_a_vgpu_open_and_close_in_every_order(string openOrder, string closeOrder)
    {
        SimulationRuntime runtime = new() { Checks = new KernelChecks(Apvirt.Host.Checks.LockOrder.Declared) };
        KernelTask task = runtime.CreateTask("test");
        VirtualHost host = runtime.Drive(VirtualHost.BootAsync(task, new MachineSetup
        {
            Configuration = new QciInfo(ApFeatures.Apsc | ApFeatures.Apxa, 255, 255, ApMask.Of(4), ApMask.Of(4), ApMask.Of(4)),
            Adapters = new Dictionary<int, AdapterType> { [4] = new AdapterType(14, AdapterType.Ep11Functions) },
            Bus = new Apvirt.Ap.Bus.ApBusOptions { ApMaskParameter = "0x0", ScansByTimer = false, UseInterrupts = false },
            Profile = Profile.Strict,
        }));
        Write("mdev_supported_types/vfio_ap-passthrough/create", Mdev);
        Write($"{Mdev}/assign_domain", "4");
        Write($"{Mdev}/assign_adapter", "4");
        ZpciFunction function = new(task, new ZpciFirmware(0x11));
        VfioPciDriver pci = new(function);
        pci.Device = Add("function", pci);
        GvtDevice vgpu = new(new GvtAdapter());
        vgpu.Device = Add("vgpu", vgpu);

        Assert.Equal(Errno.Ok, runtime.Drive(host.Guests.StartAsync(task, "g", uuid: null, new GuestOptions())));
        GuestProcess guest = host.Guests.Find("g")!;
        foreach (string kind in openOrder.Split(' '))
        {
            Assert.Equal(Errno.Ok, runtime.Drive(kind switch
            {
                "mdev" => host.Guests.StartAsync(task, "g", Mdev, new GuestOptions()),
                "function" => guest.OpenDeviceAsync(task, pci.Device, kind),
                _ => guest.OpenDeviceAsync(task, vgpu.Device, kind),
            }));
        }
        // The VM's file, three devices, and what the mdev, the function and the vGPU hold.
        Assert.Equal(7, guest.Machine.References);
        Assert.Equal((guest.Machine, guest.Machine, guest.Machine), (host.VfioAp.Matrix.Mdevs.Single().Kvm, function.Machine, vgpu.Tracked));
        Assert.Equal(3, guest.Container!.Groups.Count);
        host.Checks!.Ended(task, Errno.Ok, writesBefore: null);
        foreach (string kind in closeOrder.Split(' '))
            Assert.Equal(Errno.Ok, runtime.Drive(kind == "mdev" ? host.Guests.DetachAsync(task, "g", Mdev) : guest.CloseDeviceAsync(task, kind)));
        Assert.Equal(1, guest.Machine.References);
        Assert.Empty(guest.Container.Groups);
        Assert.Equal(((Apvirt.Kvm.Machines.VirtualMachine?)null, 0u, 0), (function.Machine, function.Gisa, vgpu.CachedPages));
        Assert.Equal(Errno.Ok, runtime.Drive(host.Guests.StopAsync(task, "g")));
        Assert.Equal(0, guest.Machine.References);
        Assert.Empty(runtime.Checks!.Violations.ToArray().Select(v => v.ToString()));

        void Write(string path, string data) => Assert.Equal(
            Errno.Ok, runtime.Drive(host.Tree.WriteAsync(task, "/sys/devices/vfio_ap/matrix/" + path, System.Text.Encoding.ASCII.GetBytes(data))));

        VfioDevice Add(string name, IVfioDriver driver)
        {
            VfioDevice device = new(name, driver, host.VfioAp.Matrix.Groups.Create(new RootDevice(host.Model, name)), new KernelLog());
            Assert.True(runtime.Drive(device.OfferAsync(task), TimeSpan.FromSeconds(1)));
            return device;
        }
    }
}
