using Apvirt.Ap.Architecture;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Crypto;
using Apvirt.Kvm.Interrupts;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Tests;

public sealed class VirtualMachineTests
{
    private readonly KernelTask _task = new SimulationRuntime().CreateTask("t");

    [Theory]
    [InlineData(true, true, CrycbFormat.Format2, 255)]
    [InlineData(true, false, CrycbFormat.Format1, 63)]
    [InlineData(false, true, CrycbFormat.Format0, 63)]
    public void The_format_decides_how_much_of_the_masks_arrives(bool facility76, bool apxa, CrycbFormat format, int lastAdapter)
    {
        VirtualMachine machine = new("g", apxa, new VirtualMachineOptions { HasFacility76 = facility76 });
        Assert.Equal(format, machine.Format);
        Assert.True(machine.Lock.TryLock(_task));
        machine.SetMasks(_task, ApMask.All, ApMask.All, ApMask.All);
        Assert.Equal(ApMask.UpTo(lastAdapter), machine.Apcb.Apm);
        Assert.Equal(ApMask.UpTo(format == CrycbFormat.Format2 ? 255 : 15), machine.Apcb.Aqm);
        Assert.Equal(machine.Apcb.Aqm, machine.Apcb.Adm);
        machine.ClearMasks(_task);
        Assert.Equal(default, machine.Apcb);
        Assert.Equal((1, 1, 2), (machine.SetMasksCount, machine.ClearMasksCount, machine.Vcpus[0].Kicks));
    }

    [Fact]
    public void The_last_reference_ends_the_machine()
    {
        VirtualMachine machine = new("g", hostHasApxa: true, new VirtualMachineOptions());
        Assert.True(machine.TryGet());
        machine.Put(_task);
        machine.Put(_task);
        Assert.Equal(0, machine.References);
        Assert.False(machine.TryGet());
        Assert.Throws<InvalidOperationException>(() => machine.Put(_task));
    }

    [Fact]
    public void A_reference_is_not_given_back_under_the_vm_lock()
    {
        VirtualMachine machine = new("g", hostHasApxa: true, new VirtualMachineOptions());
        Assert.True(machine.Lock.TryLock(_task));
        Assert.Throws<InvalidOperationException>(() => machine.Put(_task));
    }

    [Fact]
    public void Subclasses_are_counted_and_alert_from_the_first_to_the_last()
    {
        Gisa gisa = new(exists: true, designation: 0x2000);
        Assert.Equal(Errno.Ok, gisa.Register(_task, 0, out _));
        Assert.Equal(Errno.Ok, gisa.Register(_task, 0, out _));
        Assert.Equal(0x80, gisa.AlertMask);
        Assert.Equal(Errno.Ok, gisa.Unregister(_task, 0));
        Assert.Equal(0x80, gisa.AlertMask);
        Assert.Equal(Errno.Ok, gisa.Unregister(_task, 0));
        Assert.Equal(0, gisa.AlertMask);
        Assert.Equal(Errno.EINVAL, gisa.Unregister(_task, 0));
        Assert.Equal(Errno.ERANGE, gisa.Register(_task, 8, out _));
        Assert.Equal(Errno.ENODEV, new Gisa(exists: false, designation: 0).Register(_task, 0, out _));
    }
}
