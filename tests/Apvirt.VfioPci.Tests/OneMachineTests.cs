using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioPci.Pci;
using Apvirt.VfioPci.Vgpu;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Tests;

/// <summary>M101: the three consumers in one system, on one VM.</summary>
public sealed class OneMachineTests
{
    private const string Mdev = "62177883-f1bb-47f0-914d-32a22e3a8804";
    private const string Vgpu = "6e5ae7a4-9ee2-4d1e-8b12-7f2f9d3c0001";
    private const string Function = "1000:00:00.0";
    private const string Matrix = "/sys/devices/vfio_ap/matrix/";
    private static readonly string[] Devices = [Mdev, Function, Vgpu];

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
                    data.Add(string.Join(' ', open.Select(i => Devices[i])), string.Join(' ', close.Select(i => Devices[i])));
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
            PciFunctions =
            [
                new PciFunctionSetup(0x104, PciFunctionType.Find("roce")!) { Uid = 0x1000, IsForGuests = true },
                new PciFunctionSetup(0x200, PciFunctionType.Find("gpu")!) { Uid = 0x2000 },
            ],
        }));
        Write(Matrix + "mdev_supported_types/vfio_ap-passthrough/create", Mdev);
        Write($"{Matrix}{Mdev}/assign_domain", "4");
        Write($"{Matrix}{Mdev}/assign_adapter", "4");
        Write("/sys/bus/pci/devices/2000:00:00.0/mdev_supported_types/i915-GVTg_V5_4/create", Vgpu);
        ZpciFunction function = host.Pci.Bus.Find(Function)!.Function;
        GvtDevice vgpu = host.Pci.Vgpus.Single().Vgpu!;

        Assert.Equal(Errno.Ok, runtime.Drive(host.Guests.StartAsync(task, "g", openOrder.Split(' '), new GuestOptions())));
        GuestProcess guest = host.Guests.Find("g")!;
        // The VM's file, three devices, and what the mdev, the function and the vGPU hold.
        Assert.Equal(7, guest.Machine.References);
        Assert.Equal((guest.Machine, guest.Machine, guest.Machine), (host.VfioAp.Matrix.Mdevs.Single().Kvm, function.Machine, vgpu.Tracked));
        Assert.Equal(3, guest.Container!.Groups.Count);
        host.Checks!.Ended(task, Errno.Ok, writesBefore: null);
        foreach (string device in closeOrder.Split(' '))
            Assert.Equal(Errno.Ok, runtime.Drive(host.Guests.DetachAsync(task, "g", device)));
        Assert.Equal(1, guest.Machine.References);
        Assert.Empty(guest.Container.Groups);
        Assert.Equal(((Apvirt.Kvm.Machines.VirtualMachine?)null, 0u, 0), (function.Machine, function.Gisa, vgpu.CachedPages));
        host.Checks!.Ended(task, Errno.Ok, writesBefore: null);
        Assert.Equal(Errno.Ok, runtime.Drive(host.Guests.StopAsync(task, "g")));
        Assert.Equal(0, guest.Machine.References);
        Assert.Empty(runtime.Checks!.Violations.ToArray().Select(v => v.ToString()));

        void Write(string path, string data) => Assert.Equal(
            Errno.Ok, runtime.Drive(host.Tree.WriteAsync(task, path, System.Text.Encoding.ASCII.GetBytes(data))));
    }
}
