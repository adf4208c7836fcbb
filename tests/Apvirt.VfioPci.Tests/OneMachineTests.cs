using Apvirt.Host.Guests;
using Apvirt.Kernel;
using Apvirt.Kvm.Machines;
using Apvirt.VfioPci.Vgpu;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Tests;

/// <summary>M101: the three consumers in one system, on one VM.</summary>
public sealed class OneMachineTests
{
    private static readonly string[] Devices = [PciHost.Mdev, PciHost.Roce, PciHost.Vgpu];

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
        PciHost h = new PciHost().CreateMdev().CreateVgpu();
        ZpciFunction function = h.Function().Function;
        GvtDevice vgpu = h.Host.Pci.Vgpus.Single().Vgpu!;
        Assert.Equal(Errno.Ok, h.Start("g", openOrder.Split(' ')));
        GuestProcess guest = h.Host.Guests.Find("g")!;
        // The VM's file, three devices, and what the mdev, the function and the vGPU hold.
        Assert.Equal(7, guest.Machine.References);
        Assert.Equal((guest.Machine, guest.Machine, guest.Machine), (h.Host.VfioAp.Matrix.Mdevs.Single().Kvm, function.Machine, vgpu.Tracked));
        Assert.Equal(3, guest.Container!.Groups.Count);
        h.AssertClean();
        foreach (string device in closeOrder.Split(' '))
        {
            Assert.Equal(Errno.Ok, h.Runtime.Drive(h.Host.Guests.DetachAsync(h.Task, "g", device)));
            h.AssertClean();
        }
        Assert.Equal(1, guest.Machine.References);
        Assert.Empty(guest.Container.Groups);
        Assert.Equal(((VirtualMachine?)null, 0u, 0), (function.Machine, function.Gisa, vgpu.CachedPages));
        Assert.Equal(Errno.Ok, h.Stop("g"));
        Assert.Equal(0, guest.Machine.References);
        h.AssertClean();
    }
}
