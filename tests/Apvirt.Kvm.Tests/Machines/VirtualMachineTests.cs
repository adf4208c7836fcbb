using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;

namespace Apvirt.Kvm.Tests.Machines;

/// <summary>References (kvm.md §1) and changing masks (§3).</summary>
public sealed class VirtualMachineTests
{
    private readonly SimulationRuntime _runtime = new();
    private readonly KernelTask _task;

    public VirtualMachineTests() => _task = _runtime.CreateTask("test");

    [Fact]
    public void AVmLivesAsLongAsSomebodyHasAReference()
    {
        VirtualMachine machine = Make();
        Assert.Equal(1, machine.References);
        Assert.True(machine.TryGet(_task));
        machine.Put(_task);
        Assert.Equal(1, machine.References);
        machine.Put(_task);
        Assert.Equal(0, machine.References);
        Assert.False(machine.TryGet(_task));
        Assert.Throws<InvalidOperationException>(() => machine.Put(_task));
    }

    [Fact]
    public void TheLastReferenceIsNeverGivenBackUnderTheVmLock()
    {
        VirtualMachine machine = Make();
        Assert.True(machine.Lock.TryLock(_task));
        Assert.Throws<InvalidOperationException>(() => machine.Put(_task));
        machine.Lock.Unlock(_task);
        machine.Put(_task);
    }

    [Fact]
    public void MasksAreChangedUnderTheVmLockOnly()
    {
        VirtualMachine machine = Make();
        Assert.Throws<InvalidOperationException>(() => machine.SetMasks(_task, ApMask.All, ApMask.All, ApMask.All));
        Assert.Throws<InvalidOperationException>(() => machine.ClearMasks(_task));
        Assert.Equal(default, machine.Apcb);
    }

    [Theory]
    [InlineData(true, 256, 256)]
    [InlineData(false, 64, 16)]
    public void SettingWritesWhatFitsAndClearingZeroesAll(bool hasApxa, int adapters, int domains)
    {
        VirtualMachine machine = new(new SimulationRuntime(), "g1", hasApxa, new VirtualMachineOptions { VcpuCount = 3 });
        Assert.True(machine.Lock.TryLock(_task));
        machine.SetMasks(_task, ApMask.All, ApMask.All, ApMask.All);
        Assert.Equal((adapters, domains, domains), (machine.Apcb.Apm.Count, machine.Apcb.Aqm.Count, machine.Apcb.Adm.Count));
        machine.ClearMasks(_task);
        Assert.Equal(default, machine.Apcb);
        Assert.Equal((1, 1), (machine.SetMasksCount, machine.ClearMasksCount));
        Assert.All(machine.Vcpus, vcpu => Assert.Equal(2, vcpu.Kicks));
    }

    [Fact]
    public void AVcpuInAHandlerIsNotWaitedFor()
    {
        VirtualMachine machine = Make();
        KernelTask vcpu = _runtime.CreateTask("vcpu0");
        Assert.True(machine.Vcpus[0].Mutex.TryLock(vcpu));
        Assert.True(machine.Lock.TryLock(_task));
        machine.SetMasks(_task, ApMask.Of(1), ApMask.Of(2), ApMask.Of(3));
        Assert.Same(vcpu, machine.Vcpus[0].Mutex.Holder);
        Assert.True(machine.Apcb.Contains(Apqn.Of(1, 2)));
    }

    [Fact]
    public void AnInstructionRunsAfterTheChange()
    {
        VirtualMachine machine = Make();
        Assert.True(machine.Lock.TryLock(_task));
        machine.SetMasks(_task, ApMask.Of(1), ApMask.Of(2), ApMask.Of(3));
        Assert.Equal(ApMask.Of(1), machine.Vcpus[0].RunInSie(machine, vm => vm.Apcb.Apm));
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(4095, true)]
    [InlineData(4096, false)]
    [InlineData(ulong.MaxValue, false)]
    public void GuestMemoryBeginsAtZero(ulong address, bool isBacked) =>
        Assert.Equal(isBacked, new VirtualMachine(new SimulationRuntime(), "g1", true, new VirtualMachineOptions { MemoryBytes = 4096 }).IsBacked(address));

    private static VirtualMachine Make() => new(new SimulationRuntime(), "g1", hostHasApxa: true, new VirtualMachineOptions());
}
